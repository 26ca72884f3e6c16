"""A relay that counts: connections, and what DynamoDB was asked."""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections import Counter
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

OPERATION = re.compile(rb"DynamoDB_20120810\.(\w+)")


class Relay:
    """`with Relay("http://127.0.0.1:1234/base") as relay:` passes everything on, both ways."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._to = (address.hostname, address.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}{address.path}"
        self.connections = 0
        self.operations: Counter[str] = Counter()
        self._sockets: list[socket.socket] = []
        self._forgotten: set[socket.socket] = set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for each in (self._listener, *self._sockets):
            each.close()

    def cut(self) -> None:
        """Close every connection, as a peer does that has waited long enough."""
        for each in self._sockets:
            with suppress(OSError):  # it was closed before
                each.shutdown(socket.SHUT_RDWR)

    def forget(self) -> None:
        """Answer the next word on every connection by a reset: its closing was told while we were frozen."""
        self._forgotten |= set(self._sockets)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._to)
            self.connections += 1
            self._sockets += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                if source in self._forgotten:
                    source.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    source.close()
                    return
                self.operations.update(name.decode() for name in OPERATION.findall(data))
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return
