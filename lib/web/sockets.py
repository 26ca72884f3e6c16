"""Set TCP_NODELAY for a server that does not set it."""

from __future__ import annotations

import os
import socket

DESCRIPTORS = "/proc/self/fd"


def send_at_once() -> None:
    """Set TCP_NODELAY on the sockets that this process listens on. Accepted connections inherit it.

    asyncio sets it only on sockets that name their protocol. vercel-runtime 0.23.2 gives uvicorn a bare
    descriptor, so an answer on a kept connection waits about 40 ms for an acknowledgement (measured: 46 ms,
    and 8 ms with this function). It works on Linux only; elsewhere it does nothing.
    """
    try:
        descriptors = [int(name) for name in os.listdir(DESCRIPTORS)]  # noqa: PTH208 - numbers, not files
    except OSError:
        return
    for descriptor in descriptors:
        try:
            candidate = socket.socket(fileno=descriptor)
        except OSError:  # The descriptor is a file, or is closed by now.
            continue
        try:
            if candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                candidate.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:  # The socket does not use TCP.
            continue
        finally:
            candidate.detach()  # The server closes it, not we.
