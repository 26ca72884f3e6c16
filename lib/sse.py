"""Server-sent events, bytes to data payloads and back.

As in https://html.spec.whatwg.org/multipage/server-sent-events.html, with two liberties: every space after a
colon is dropped, not only the first, and an event that the stream's end cuts off can be had from `end`.
"""

from __future__ import annotations

from lib.errors import UpstreamProtocolError

MAX_EVENT_BYTES = 8 * 2**20
"""What one event may hold. The upstream repeats whole texts in its snapshots, and the longest answers are
some hundred kilobytes: eight megabytes are not an answer, but something that never ends."""

COMMENT = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"

_CR = 0x0D
_BOM = b"\xef\xbb\xbf"


class EventSplitter:
    """Take a stream in any pieces; give the data of each event that is complete, which may be empty."""

    def __init__(self) -> None:
        self._line = bytearray()  # what came since the last line end
        self._data: list[bytes] = []  # of the event that is not complete
        self._size = 0  # of all `_data`
        self._is_after_cr = False
        self._is_at_start = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """Raise UpstreamProtocolError when an event is larger than MAX_EVENT_BYTES."""
        if self._is_after_cr or _CR in chunk:
            chunk = self._with_lf(chunk)
        lines = chunk.split(b"\n")
        if len(lines) == 1:
            self._line += chunk
            self._hold(len(self._line))
            return []
        if self._line:
            lines[0] = bytes(self._line) + lines[0]
            self._line.clear()
        tail = lines.pop()
        if self._is_at_start:
            self._is_at_start = False
            lines[0] = lines[0].removeprefix(_BOM)
        payloads = self._payloads(lines)
        if tail:
            self._line += tail
            self._hold(len(tail))
        return payloads

    def end(self) -> list[bytes]:
        """Give the last event of a stream that ended without a blank line: its data may be cut short."""
        return self.feed(b"\n\n")

    def _with_lf(self, chunk: bytes) -> bytes:
        """Make every line end an LF; a CR at the end of a chunk counts at once, and an LF after it never."""
        if chunk and self._is_after_cr:
            chunk = chunk.removeprefix(b"\n")
            self._is_after_cr = False
        if chunk.endswith(b"\r"):
            self._is_after_cr = True
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _payloads(self, lines: list[bytes]) -> list[bytes]:
        payloads = []
        data = self._data
        for line in lines:
            if line[:5] == b"data:" or line == b"data":
                data.append(line[5:].lstrip(b" "))
                self._hold(len(line))
                self._size += len(line)
            elif data and not line:
                payloads.append(data[0] if len(data) == 1 else b"\n".join(data))
                data.clear()
                self._size = 0
        return payloads

    def _hold(self, more: int) -> None:
        if self._size + more > MAX_EVENT_BYTES:
            raise UpstreamProtocolError(
                f"Expected events of at most {MAX_EVENT_BYTES} bytes, got one of {self._size + more} or more."
            )


def encode_data(payload: bytes) -> bytes:
    """Make an event of one JSON text without raw line breaks, as msgspec writes it."""
    return b"data: " + line_safe(payload) + b"\n\n"


def line_safe(payload: bytes) -> bytes:
    """Escape in a JSON text the characters that JSON leaves alone and str.splitlines takes for line ends.

    httpx's `iter_lines` does so: a client that reads events with it would find half an object on a line.
    """
    # Looking for one byte takes a tenth of the time of looking for several, and few texts hold these.
    if 0xC2 in payload:
        payload = payload.replace(b"\xc2\x85", b"\\u0085")
    if 0xE2 in payload:
        payload = payload.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return payload
