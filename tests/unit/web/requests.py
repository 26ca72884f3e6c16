"""Requests made by hand, for what no server in between would let through."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import Message


def make_request(
    *bodies: bytes, headers: list[tuple[str, str]] | None = None, query: str = "", **scope: object
) -> Request:
    waiting: list[Message] = [
        {"type": "http.request", "body": body, "more_body": number < len(bodies)}
        for number, body in enumerate(bodies, 1)
    ]

    async def receive() -> Message:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers or []]
    base = {"type": "http", "method": "POST", "path": "/", "query_string": query.encode(), "headers": raw}
    return Request(base | scope, receive)
