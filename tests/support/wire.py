"""A client on a bare socket: for what is about when bytes come, and for leaving without a word."""

from __future__ import annotations

import json
import socket
import struct
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

TIMEOUT_S = 10.0


class RawClient:
    """One connection; nothing is read but what is asked for."""

    def __init__(self, url: str, *, receive_buffer: int | None = None) -> None:
        address = urlsplit(url)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        if receive_buffer is not None:  # before connecting, or the window is negotiated without it
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(TIMEOUT_S)
        self._socket.connect((address.hostname, address.port))
        self.received = b""

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def post(self, path: str, body: Any, **headers: str) -> None:
        """Send a whole request; names of headers are written with `_`."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send(head("POST", path, {"content-length": str(len(raw)), **_spelled(headers)}) + raw)

    def read_some(self, size: int = 65536) -> bytes:
        """Return what has arrived, waiting for the first byte; empty once the other side has closed."""
        data = self._socket.recv(size)
        self.received += data
        return data

    def read_until(self, end: bytes) -> bytes:
        """Read until all that was received contains `end`; return all of it."""
        while end not in self.received:
            assert self.read_some(), f"closed before {end!r}: {self.received!r}"
        return self.received

    def read_to_end(self) -> bytes:
        while self.read_some():
            pass
        return self.received

    def leave(self) -> None:
        """Reset the connection, as a killed program's kernel does."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def head(method: str, path: str, headers: dict[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: gateway", *(f"{k}: {v}" for k, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _spelled(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
