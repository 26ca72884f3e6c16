"""A caller of the gateway who knows whether the answer came to its end: one connection for each request."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from simulator.scenes import sample_text
from tests.support.client import CHAT, KEY, Streamed, chat_body
from tests.support.wire import head

READ_BYTES = 64 * 1024


class Broken(Exception):
    """The connection broke before the answer was whole."""


@dataclass(frozen=True)
class Question:
    """A request for a text of the simulator's, which the same arguments make again."""

    name: str
    """Told in the prompt: what is asked is asked once."""
    chars: int
    seed: int
    step: int
    is_stream: bool

    @property
    def prompt(self) -> str:
        return f"{self.name} [scene:text chars={self.chars} seed={self.seed} step={self.step}]"

    @property
    def body(self) -> dict[str, Any]:
        return chat_body(self.prompt, stream=True) if self.is_stream else chat_body(self.prompt)

    @property
    def text(self) -> str:
        return sample_text(self.chars, self.seed)

    def is_answered_by(self, answer: Answer) -> bool:
        """Whether the answer is whole and what the simulator said, by its hash."""
        return answer.ended_well and _hash(answer.text) == _hash(self.text)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def is_stream(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/event-stream")

    @property
    def streamed(self) -> Streamed:
        return Streamed(self.status, httpx.Headers(self.headers), self.raw)

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def ended_well(self) -> bool:
        if self.status != 200:
            return False
        if self.is_stream:
            return self.streamed.is_done and self.streamed.finish_reason == "stop"
        return bool(self.json["choices"][0]["finish_reason"] == "stop")

    @property
    def text(self) -> str:
        return self.streamed.text if self.is_stream else str(self.json["choices"][0]["message"]["content"])

    @property
    def account(self) -> str:
        """The label of the account that answered."""
        return self.headers.get("x-glm-account", "")

    def summary(self) -> str:
        """Say what came where something else was expected; what is long is cut."""
        return f"{self.status} {self.raw[:150]!r} … {self.raw[-250:]!r}"


async def ask(
    port: int, body: Any, *, timeout_s: float, on_data: Callable[[bytes], None] | None = None
) -> Answer:
    """Ask for a chat and read to the end; raise Broken where the connection ends first."""
    async with asyncio.timeout(timeout_s):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionError as error:
            raise Broken(repr(error)) from error
        try:
            writer.write(request_bytes(body))
            pieces = []
            while data := await reader.read(READ_BYTES):
                pieces.append(data)
                if on_data is not None:
                    on_data(data)
        except ConnectionError as error:
            raise Broken(repr(error)) from error
        finally:
            writer.transport.abort()
    return parse(b"".join(pieces))


def request_bytes(body: Any) -> bytes:
    raw = json.dumps(body).encode()
    headers = {
        "authorization": f"Bearer {KEY}",
        "content-type": "application/json",
        "content-length": str(len(raw)),
        "connection": "close",
    }
    return head("POST", CHAT, headers) + raw


def parse(raw: bytes) -> Answer:
    """Read a whole HTTP answer; raise Broken where it is not whole."""
    response = http.client.HTTPResponse(_Recorded(raw))  # type: ignore[arg-type]
    try:
        response.begin()
        body = response.read()
    except http.client.HTTPException as error:
        raise Broken(repr(error)) from error
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, body)


class _Recorded:
    """Bytes, as http.client wants a socket."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._raw)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
