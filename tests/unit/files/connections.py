"""Every connection that this process opens, as its sockets see it."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_watchers: list[list[Any]] = []
_is_hooked = False


@contextmanager
def watched_connections() -> Iterator[list[Any]]:
    """Collect the addresses that sockets are connected to; what is not this machine is not reached."""
    global _is_hooked  # noqa: PLW0603 - an audit hook cannot be taken away again
    if not _is_hooked:
        sys.addaudithook(_hook)
        _is_hooked = True
    seen: list[Any] = []
    _watchers.append(seen)
    try:
        yield seen
    finally:
        _watchers.remove(seen)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "socket.connect" or not _watchers:
        return
    connecting, address = arguments
    if connecting.family not in (socket.AF_INET, socket.AF_INET6):
        return
    for seen in _watchers:
        seen.append((address[0], address[1]))
    if not address[0].startswith("127."):
        raise ConnectionRefusedError("tests reach nobody")
