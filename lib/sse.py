"""Server-sent events: bytes to data payloads, and back.

The format is https://html.spec.whatwg.org/multipage/server-sent-events.html, with two differences: the
splitter drops every space after a colon, not only the first, and `end` returns an event that has no blank
line after it.
"""

from __future__ import annotations

from lib.errors import UpstreamProtocolError

MAX_EVENT_BYTES = 8 * 2**20
"""One event may hold so much. The upstream repeats whole texts in its snapshots, and the longest answers have
some hundred kilobytes. An event of eight megabytes probably never ends."""

COMMENT = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"

_CR = 0x0D
_BOM = b"\xef\xbb\xbf"


class EventSplitter:
    """Takes a stream in any pieces and returns the data of each complete event. The data may be empty."""

    def __init__(self) -> None:
        self._line = bytearray()
        """The bytes since the last line end."""
        self._data: list[bytes] = []
        """The data lines of the incomplete event."""
        self._size = 0
        """The size of all `_data`."""
        self._is_after_cr = False
        self._is_at_start = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """Raise UpstreamProtocolError if an event is larger than MAX_EVENT_BYTES."""
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
        """Return the last event of a stream without a blank line at its end. Its data may be incomplete."""
        return self.feed(b"\n\n")

    def _with_lf(self, chunk: bytes) -> bytes:
        """Turn every line end into LF. A CR at a chunk's end counts at once; an LF after it does not."""
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
    """Make an event of one JSON text. It must have no raw line breaks, as msgspec writes it."""
    return b"data: " + line_safe(payload) + b"\n\n"


def line_safe(payload: bytes) -> bytes:
    """Escape the characters that `str.splitlines` takes for line ends and JSON does not escape.

    httpx's `iter_lines` uses `splitlines`: a client that reads events with it would get half an object.
    """
    # A search for one byte takes a tenth of the time of a search for several, and few texts hold these.
    if 0xC2 in payload:
        payload = payload.replace(b"\xc2\x85", b"\\u0085")
    if 0xE2 in payload:
        payload = payload.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return payload
