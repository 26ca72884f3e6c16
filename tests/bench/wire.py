"""HTTP as the benchmarks speak it: bytes prepared before the clock starts, answers verified after it stops.

No HTTP library: what it needs for itself would be measured too, and would hide a millisecond's difference.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import socket
import time
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

READ_BYTES = 256 * 1024
TIMEOUT_S = 60.0
"""Between two pieces of an answer: a benchmark that hangs ends, and says where."""

_FIRST_CONTENT = re.compile(rb'"(?:text|content)":"[^"]')
"""In the upstream's stream as in ours, whose opening chunk has an empty `content`."""
_END = b"\r\n0\r\n\r\n"


class GarbledAnswer(Exception):
    """An answer was lost or is not what the simulator said."""


def request(url: str, headers: Mapping[str, str], body: bytes) -> bytes:
    parts = urlsplit(url)
    lines = [f"POST {parts.path} HTTP/1.1", f"Host: {parts.netloc}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Answer:
    """One answer as it comes: when its first content came, and in the end what it was."""

    def __init__(self) -> None:
        self.first_content_s = 0.0
        """Since the request was sent; 0 while there is none."""
        self._pieces: list[bytes] = []
        self._began_at = time.perf_counter()

    def feed(self, data: bytes) -> bool:
        """Take the next bytes; return whether they are the last."""
        if not data:
            raise GarbledAnswer(f"the connection was closed in mid-answer, after {self._raw()[-200:]!r}")
        self._pieces.append(data)
        if not self.first_content_s:
            now = time.perf_counter()
            if _FIRST_CONTENT.search(self._raw()):
                self.first_content_s = now - self._began_at
        return data.endswith(_END) or (len(data) < len(_END) and self._raw().endswith(_END))

    def body(self) -> bytes:
        """Return the body; raise GarbledAnswer where the answer is no success or its chunks are broken."""
        head, _, rest = self._raw().partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise GarbledAnswer(f"expected a 200, got {head[:100]!r} {rest[:300]!r}")
        return b"".join(_chunks(rest))

    def _raw(self) -> bytes:
        if len(self._pieces) > 1:
            self._pieces = [b"".join(self._pieces)]
        return self._pieces[0] if self._pieces else b""


def _chunks(rest: bytes) -> Iterator[bytes]:
    position = 0
    while True:
        line_end = rest.index(b"\r\n", position)
        size = int(rest[position:line_end], 16)
        if not size:
            return
        yield rest[line_end + 2 : line_end + 2 + size]
        position = line_end + 2 + size + 2


class Connection:
    """A warm connection for one request after another, read as soon as something is there."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, prepared: bytes) -> Answer:
        answer = Answer()
        self._socket.sendall(prepared)
        while not answer.feed(self._socket.recv(READ_BYTES)):
            pass
        return answer

    def close(self) -> None:
        self._socket.close()


async def ask_all(url: str, prepared: list[bytes]) -> list[Answer]:
    """Send them all at once, each on a connection of its own that is open already."""
    parts = urlsplit(url)
    connections = [await asyncio.open_connection(parts.hostname, parts.port) for _ in prepared]

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> Answer:
        answer = Answer()
        writer.write(data)
        while not answer.feed(await asyncio.wait_for(reader.read(READ_BYTES), TIMEOUT_S)):
            pass
        writer.close()
        return answer

    return await asyncio.gather(
        *(ask(*connection, data) for connection, data in zip(connections, prepared, strict=True))
    )


def call(url: str, body: Mapping[str, Any] | None = None) -> Any:
    """Ask one of the programs' own endpoints, which answer in JSON."""
    data = None if body is None else json.dumps(body).encode()
    no_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with no_proxy.open(url, data, timeout=TIMEOUT_S) as response:
        return json.load(response)


# What the answers say


def payloads(body: bytes) -> list[bytes]:
    lines = body.replace(b"\r\n", b"\n").split(b"\n")
    return [line.removeprefix(b"data:").strip() for line in lines if line.startswith(b"data:")]


def told_by_gateway(body: bytes) -> str:
    """Join the deltas of a stream in the OpenAI dialect; raise where it did not end as it should."""
    *chunks, done = payloads(body)
    if done != b"[DONE]":
        raise GarbledAnswer(f"expected [DONE] at the end, got {done[:300]!r}")
    choices = [choice for chunk in chunks for choice in json.loads(chunk).get("choices", ())]
    reasons = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
    if reasons != ["stop"]:
        raise GarbledAnswer(f"expected one finish_reason, 'stop'; got {reasons}")
    return "".join(choice["delta"].get("content", "") for choice in choices)


def told_by_upstream(body: bytes) -> str:
    """Join the increments of the upstream's own stream."""
    events = [json.loads(payload) for payload in payloads(body)]
    if not events or events[-1]["status"] != "finish":
        raise GarbledAnswer("the upstream's stream ended without its terminal event")
    parts = [part for event in events if event["status"] != "finish" for part in event["parts"]]
    return "".join(item["text"] for part in parts if part["status"] != "finish" for item in part["content"])


def verify(told: str, expected: str) -> None:
    """Compare by hash, so that a failure does not print two hundred kilobytes."""
    found, wanted = (hashlib.sha256(text.encode()).hexdigest()[:16] for text in (told, expected))
    if found != wanted:
        raise GarbledAnswer(
            f"expected {len(expected)} characters with sha256 {wanted}…, got {len(told)} with {found}…"
        )
