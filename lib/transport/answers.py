"""Reads one answer after the other from the bytes of a connection, in any pieces."""

from __future__ import annotations

import httptools
import httpx

MAX_HEAD_BYTES = 100 * 1024
"""A head may be so long, with the interim answers before it. h11 has the same limit."""


class AnswerReader:
    """One for each connection: `begin` before each request, then `feed`, and `end` if the peer closes."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.begin()

    def begin(self, *, has_body: bool = True) -> None:
        """Expect the next answer. An answer to HEAD has a head only."""
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.has_head = False
        self.is_over = False
        self.may_follow = False
        """The answer is over, and the connection can serve another request."""
        self._has_body = has_body
        self._pieces: list[bytes] = []
        self._room = MAX_HEAD_BYTES
        self._idle_bytes = 0

    def feed(self, data: bytes) -> bytes:
        """Return the next bytes of the body. Raise httpx.RemoteProtocolError if this is not HTTP."""
        if not self.has_head:
            data = self._feed_head(data)
        if data:
            self._parse(data)
        body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        if not body:
            self._hold_overhead(len(data))
        else:
            self._idle_bytes = 0
        return body

    def end(self) -> None:
        """The peer has closed. Raise if the answer is not over: only an answer without a length ends so."""
        if self.is_over:
            return
        if not self.has_head:
            raise httpx.RemoteProtocolError("The server closed the connection without an answer.")
        names = {name.lower() for name, _ in self.headers}
        if not names.isdisjoint((b"content-length", b"transfer-encoding")):
            raise httpx.RemoteProtocolError("The server closed the connection in its answer.")
        self.is_over = True

    def _feed_head(self, data: bytes) -> bytes:
        """Feed no more than a head may still have; return the rest."""
        start, rest = data[: self._room], data[self._room :]
        self._room -= len(start)
        self._parse(start)
        if not self.has_head and not self._room:
            raise httpx.RemoteProtocolError(f"The answer's head has more than {MAX_HEAD_BYTES} bytes.")
        return rest

    def _hold_overhead(self, size: int) -> None:
        """Bound the bytes between two pieces of a body: a chunk's header or a trailer may have no end."""
        self._idle_bytes += size
        if self._idle_bytes > MAX_HEAD_BYTES and not self.is_over:
            raise httpx.RemoteProtocolError(f"More than {MAX_HEAD_BYTES} bytes of an answer have no content.")

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise httpx.RemoteProtocolError("The server changes the protocol, unasked.") from None
        except httptools.HttpParserError as error:
            if not self.is_over:
                raise httpx.RemoteProtocolError(f"The answer is not HTTP: {error}.") from error
            self.may_follow = False

    # httptools calls these.

    def on_message_begin(self) -> None:
        self.may_follow = False  # If the answer is over, the server sends one that was not asked for.

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.has_head:  # Later ones are a trailer.
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self.is_over:
            return
        status = self._parser.get_status_code()
        if 100 <= status < 200:  # An interim answer. The real one follows.
            self.headers.clear()
            return
        self.status = status
        self.has_head = True
        self.is_over = not self._has_body

    def on_body(self, body: bytes) -> None:
        if not self.is_over:
            self._pieces.append(body)

    def on_message_complete(self) -> None:
        if self.has_head and not self.is_over:
            self.is_over = True
            self.may_follow = self._parser.should_keep_alive()
