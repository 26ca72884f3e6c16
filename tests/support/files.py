"""A server of files on a real socket, that answers byte for byte what it was told to."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

Behaviour = Callable[[socket.socket], None]


class FileServer:
    """`with FileServer() as server:` serves until the block ends; one thread for each connection."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._tls = tls
        self._answers: dict[str, bytes | Behaviour] = {}
        self._threads: list[threading.Thread] = []
        self._closing = threading.Event()
        self.requests: list[str] = []
        """The heads that came, in order."""
        self.port: int = self._listener.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"{'https' if tls else 'http'}://{self.host}"

    @property
    def paths(self) -> list[str]:
        return [request.split(" ")[1] for request in self.requests]

    def serve(self, path: str, content: bytes, *headers: str, status: str = "200 OK") -> str:
        """Answer with this content and a Content-Length; return the address."""
        length = () if any(h.lower().startswith("content-length") for h in headers) else (_length(content),)
        return self.answer(path, head(status, *length, *headers) + content)

    def answer(self, path: str, answer: bytes | Behaviour) -> str:
        """Answer with just these bytes, or let a function do it."""
        self._answers[path] = answer
        return self.url + path

    def redirect(self, path: str, location: str, status: str = "302 Found") -> str:
        return self.serve(path, b"", f"location: {location}", status=status)

    def wait_for_close(self, connection: socket.socket) -> None:
        """Say nothing, until the other side has gone or the server ends."""
        connection.settimeout(0.05)
        while not self._closing.is_set():
            try:
                if not connection.recv(1024):
                    return
            except TimeoutError:
                continue
            except OSError:
                return

    def __enter__(self) -> Self:
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in [self._accepting, *self._threads]:
            thread.join(5)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._attend, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _attend(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                received = b""
                while b"\r\n\r\n" not in received:
                    data = connection.recv(65536)
                    if not data:
                        return
                    received += data
                request = received.decode("latin-1")
                self.requests.append(request)
                answer = self._answers.get(request.split(" ")[1], head("404 Not Found", "content-length: 0"))
                if isinstance(answer, bytes):
                    connection.sendall(answer)
                else:
                    answer(connection)
        except OSError:  # the client has left: what some tests are about
            connection.close()


def head(status: str, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode("latin-1")


def _length(content: bytes) -> str:
    return f"content-length: {len(content)}"
