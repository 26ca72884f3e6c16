"""Opens sockets, a name's addresses in a race, and looks at those that wait."""

from __future__ import annotations

import asyncio
import select
import socket
from ipaddress import ip_address
from itertools import chain, zip_longest
from typing import Any

from lib.tasks import start

HEAD_START_S = 0.25
"""Each address has this time before the next one is tried beside it (RFC 8305, section 5)."""

Address = tuple[int, tuple[Any, ...]]
"""A family and an address of it, as the socket module takes them."""


async def open_socket(host: str, port: int) -> socket.socket:
    """Return a connected socket; raise OSError. The caller limits the time."""
    addresses = await _addresses(host, port)
    return await (_connected(addresses[0]) if len(addresses) == 1 else first_connected(addresses))


async def _addresses(host: str, port: int) -> list[Address]:
    try:
        version = ip_address(host).version
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return in_turn([(family, address) for family, _, _, _, address in found])
    return [(socket.AF_INET6, (host, port, 0, 0)) if version == 6 else (socket.AF_INET, (host, port))]


def in_turn(addresses: list[Address]) -> list[Address]:
    """Alternate the families, the system's first choice first: one of them may have no route."""
    first = [address for address in addresses if address[0] == addresses[0][0]]
    second = [address for address in addresses if address[0] != addresses[0][0]]
    return [address for address in chain.from_iterable(zip_longest(first, second)) if address is not None]


async def first_connected(addresses: list[Address], head_start_s: float = HEAD_START_S) -> socket.socket:
    """Try one address after the other, and the next one beside those that do not answer soon."""
    attempts: list[asyncio.Task[socket.socket]] = []
    winner: asyncio.Task[socket.socket] | None = None
    try:
        for address in addresses:
            attempts.append(start(_connected(address)))
            patience_s = None if len(attempts) == len(addresses) else head_start_s
            while winner is None and (pending := [attempt for attempt in attempts if not attempt.done()]):
                await asyncio.wait(pending, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
                winner = next(filter(_has_connected, attempts), None)
                if patience_s is not None:
                    break  # After a failure, the next address need not wait.
            if winner is not None:
                return winner.result()
        return attempts[0].result()  # It raises: all have failed.
    finally:
        for attempt in attempts:
            if attempt is not winner:
                attempt.cancel()
                attempt.add_done_callback(_close_result)


async def _connected(address: Address) -> socket.socket:
    family, where = address
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setblocking(False)
        await asyncio.get_running_loop().sock_connect(opened, where)
    except BaseException:
        opened.close()
        raise
    return opened


def _has_connected(attempt: asyncio.Task[socket.socket]) -> bool:
    return attempt.done() and not attempt.cancelled() and attempt.exception() is None


def _close_result(attempt: asyncio.Task[socket.socket]) -> None:
    """Close the socket of an attempt that connected too late."""
    if _has_connected(attempt):
        attempt.result().close()


def is_readable(transport: asyncio.Transport) -> bool:
    """Look at the socket itself: after a freeze, the loop may not have read its end."""
    found = transport.get_extra_info("socket")
    if not hasattr(select, "poll"):
        return bool(select.select([found], [], [], 0)[0])
    poller = select.poll()
    poller.register(found.fileno(), select.POLLIN)
    return bool(poller.poll(0))
