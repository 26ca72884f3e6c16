"""Callers that ask for megabytes and read little of them, or nothing."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Self

from tests.support.client import chat_body
from tests.system.processes.asking import Answer, parse, request_bytes

SMALL_BUFFER = 4096
TIMEOUT_S = 120.0


class SlowCaller:
    """A connection whose system takes little beyond what is read."""

    def __init__(self, port: int, prompt: str) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        # Before connecting, or the window is negotiated without it.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        self._socket.settimeout(TIMEOUT_S)
        self._socket.connect(("127.0.0.1", port))
        self._socket.sendall(request_bytes(chat_body(prompt, stream=True)))
        self._received = bytearray()

    def read_first_words(self) -> None:
        while b'"content":"' not in self._received:
            assert self._read(), bytes(self._received)

    def read_all(self) -> Answer:
        while self._read():
            pass
        return parse(bytes(self._received))

    def _read(self) -> bool:
        data = self._socket.recv(64 * 1024)
        self._received += data
        return bool(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._socket.close()
