"""The socket that the server listens on, and the limit of its open connections."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack, suppress

BACKLOG = 2048
"""This many connections may wait until the server accepts them. uvicorn has the same default."""
MAX_FILES = (65536, 8192)
"""Both limits are larger than all requests at one time need. macOS may refuse the larger one."""


_OPTION = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)
"""On Windows, SO_REUSEADDR would let two servers listen on one port."""


class CanNotListen(Exception):
    """The server cannot listen on this address. The message is for the person at the terminal."""


def listen(host: str, port: int) -> socket.socket:
    """Open the socket. Port 0 means any free port. Raise CanNotListen if the system refuses."""
    try:
        # socket.create_server does not name the protocol. Then asyncio does not set TCP_NODELAY, and an
        # answer can wait 40 ms for an acknowledgement.
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        family, kind, protocol, _, address = found[0]
        with ExitStack() as stack:
            listener = stack.enter_context(socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, _OPTION, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
            stack.pop_all()  # The socket listens. From here on the caller closes it.
            return listener
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CanNotListen(
                f"another program (perhaps another scripts/serve) uses port {port} of {host}. "
                f"Choose another port: --port {port + 1 if port < 65535 else 8000}"
            ) from error
        raise CanNotListen(f"cannot listen on {host}, port {port}: {error}") from error


def allow_open_files() -> None:
    """Raise the process's limit of open files to the system's hard limit. Most systems begin with 1024.

    A request needs two connections, and a process serves up to a thousand requests (lib/web/overload.py).
    """
    with suppress(ImportError):  # Windows has no such limits.
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        for limit in MAX_FILES:
            wanted = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            with suppress(OSError, ValueError):
                if 0 <= soft < wanted:
                    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
                return
