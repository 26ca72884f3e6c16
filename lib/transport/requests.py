"""Turns a request into bytes."""

from __future__ import annotations

import httpx


class RequestFramer:
    """The head of a request, and its body as the head announces it: in chunks, or of a known length."""

    def __init__(self, request: httpx.Request) -> None:
        """Raise httpx.LocalProtocolError if a part of the request would break its head."""
        target, headers = request.url.raw_path, request.headers.raw
        lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), target)]
        lines += [b"%b: %b" % header for header in headers]
        head, breaks = b"\r\n".join(lines), len(headers)
        if head.count(b"\r") != breaks or head.count(b"\n") != breaks or b"\0" in head or b" " in target:
            raise httpx.LocalProtocolError("A header or the address has a character that ends a line.")
        self.head = head + b"\r\n\r\n"
        known = {
            name.lower(): value for name, value in headers
        }  # A third of the time of httpx's own look-ups.
        self._is_chunked = b"transfer-encoding" in known
        self._left = int(known.get(b"content-length", b"0"))

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
