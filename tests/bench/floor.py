"""The floor: the least program that turns the upstream's stream into chunks.

It reads, splits at blank lines, decodes, encodes and writes, and decides nothing: no account, no error, no
ending, no other form of a stream. What it costs, every gateway in this language and under this server pays.
"""

from __future__ import annotations

from typing import Any

import httpx
import msgspec

PASSED_ON = ("x-upstream-url", "host", "content-length")
"""Of the request's headers, these are not the upstream's: the client signs, the floor only carries."""
UPSTREAM_TIMEOUT_S = 60.0


class _Item(msgspec.Struct):
    text: str = ""


class _Part(msgspec.Struct):
    content: list[_Item] = []
    status: str = ""


class _Event(msgspec.Struct):
    parts: list[_Part] = []


class _Delta(msgspec.Struct):
    content: str


class _Choice(msgspec.Struct):
    delta: _Delta
    index: int = 0
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice]
    id: str = "floor"
    object: str = "chat.completion.chunk"
    created: int = 0
    model: str = "floor"


_decode = msgspec.json.Decoder(_Event).decode
_encode = msgspec.json.Encoder().encode
_LAST = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


class Floor:
    """As an ASGI application, without a framework."""

    def __init__(self) -> None:
        self._http: httpx.AsyncClient | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._http is None:  # within the event loop
            self._http = httpx.AsyncClient(timeout=UPSTREAM_TIMEOUT_S)
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        given = {name.decode(): value.decode() for name, value in scope["headers"]}
        headers = {name: value for name, value in given.items() if name not in PASSED_ON}
        asked = self._http.build_request("POST", given["x-upstream-url"], headers=headers, content=body)
        head = [(b"content-type", b"text/event-stream")]
        response = await self._http.send(asked, stream=True)
        try:
            await send({"type": "http.response.start", "status": response.status_code, "headers": head})
            await self._relay(response, send)
        finally:
            await response.aclose()

    async def _relay(self, response: httpx.Response, send: Any) -> None:
        rest = b""
        async for data in response.aiter_bytes():
            *frames, rest = (rest + data).split(b"\n\n")
            # All chunks of one read in one write: the least that a program can do with them.
            if out := b"".join(map(_chunk_of, frames)):
                await send({"type": "http.response.body", "body": out, "more_body": True})
        await send({"type": "http.response.body", "body": _LAST})


def _chunk_of(frame: bytes) -> bytes:
    event = _decode(frame[frame.index(b"data:") + 5 :])
    text = "".join([item.text for part in event.parts if part.status != "finish" for item in part.content])
    return b"data: %b\n\n" % _encode(_Chunk([_Choice(_Delta(text))])) if text else b""
