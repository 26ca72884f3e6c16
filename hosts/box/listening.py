"""The socket that the server listens on, and as many connections as the system lets us have."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack, suppress

BACKLOG = 2048
"""As many connections may wait to be accepted; uvicorn takes as many by itself."""
MAX_FILES = (65536, 8192)
"""More than the requests that are served at once could need. macOS may refuse the larger one."""


class CanNotListen(Exception):
    """The address cannot be had; the message is for the person at the terminal."""


def listen(host: str, port: int) -> socket.socket:
    """Open the socket; port 0 is any that is free. Raises CanNotListen."""
    try:
        # Not socket.create_server: it does not name the protocol, asyncio then leaves TCP_NODELAY off, and an
        # answer can wait 40 ms for an acknowledgement.
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        family, kind, protocol, _, address = found[0]
        with ExitStack() as stack:
            listener = stack.enter_context(socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
            stack.pop_all()  # nothing went wrong: the caller closes it
            return listener
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CanNotListen(
                f"port {port} of {host} is taken by another program (or another scripts/serve). "
                f"Choose another one: --port {port + 1 if port < 65535 else 8000}"
            ) from error
        raise CanNotListen(f"cannot listen on {host}, port {port}: {error}") from error


def allow_open_files() -> None:
    """Raise the process's limit to the most that it may have without asking: 1024 at first on most systems.

    A request is two connections, and up to a thousand are served at once (lib/web/overload.py).
    """
    with suppress(ImportError):  # no such limits on Windows
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        for most in MAX_FILES:
            wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
            with suppress(OSError, ValueError):
                if 0 <= soft < wanted:
                    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
                return
