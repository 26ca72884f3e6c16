"""Turns a request into bytes."""

from __future__ import annotations

import httpx


def encode_head(request: httpx.Request) -> bytes:
    """Raise httpx.LocalProtocolError if a part of the request would break its head."""
    target = request.url.raw_path
    lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), target)]
    lines += [b"%b: %b" % header for header in request.headers.raw]
    head = b"\r\n".join(lines)
    breaks = len(lines) - 1
    if head.count(b"\r") != breaks or head.count(b"\n") != breaks or b"\0" in head or b" " in target:
        raise httpx.LocalProtocolError("A header or the address has a character that ends a line.")
    return head + b"\r\n\r\n"


class BodyFramer:
    """Frames a body as the request's headers announce it: in chunks, or of a known length."""

    def __init__(self, headers: httpx.Headers) -> None:
        self._is_chunked = "transfer-encoding" in headers
        self._left = int(headers.get("content-length", "0"))

    def frame(self, piece: bytes) -> bytes:
        if self._is_chunked:  # An empty chunk would end the body.
            return b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""
        self._left -= len(piece)
        if self._left < 0:
            raise httpx.LocalProtocolError("The body is longer than its Content-Length.")
        return piece

    def end(self) -> bytes:
        if self._is_chunked:
            return b"0\r\n\r\n"
        if self._left:
            raise httpx.LocalProtocolError("The body is shorter than its Content-Length.")
        return b""
