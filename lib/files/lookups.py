"""Resolves the names of files' hosts in threads of their own, and remembers the names that have no address.

A name without an answer keeps a thread busy for half a minute. In asyncio's own threads, eight of them kept
the process from resolving the upstream's name for two minutes.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable
from threading import Lock

from lib.tasks import Crowded, Threads

THREADS = Threads("lookup", threads=2, max_waiting=32)
"""One set for the process: a host has some hundred milliseconds for a name, and few requests name files."""
FAILURE_S = 60.0
"""A name that failed is not asked for again so soon."""
MAX_FAILURES = 1_024

Ask = Callable[[str, int], Iterable[str]]


def ask_system(host: str, port: int) -> list[str]:
    """Ask the system. It also reads odd notations of addresses, so the caller checks its result."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # The system returns a zone beside the address. Put it back: `read_address` refuses it.
    return [
        f"{address[0]}%{address[3]}" if len(address) == 4 and address[3] else str(address[0])
        for *_, address in found
    ]


class Lookups:
    """The look-ups of a process, or of a test."""

    def __init__(
        self, ask: Ask = ask_system, *, threads: Threads = THREADS, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._threads = threads
        self._now = now
        self._failures: dict[str, float] = {}
        """Until when a name is not asked for again, in the order of the failures."""
        self._noting = Lock()

    async def resolve(self, host: str, port: int) -> list[str]:
        """Return the addresses. Raise OSError if there are none; TimeoutError if too many others wait."""
        self._check(host)
        try:
            return await self._threads.run(lambda: self._look_up(host, port))
        except Crowded:
            raise TimeoutError from None

    def _look_up(self, host: str, port: int) -> list[str]:
        """Ask in a thread. The failure is remembered, even if it comes after the request has gone."""
        self._check(host)
        try:
            return list(self._ask(host, port))
        except (OSError, ValueError):
            with self._noting:
                self._failures.pop(host, None)
                self._failures[host] = self._now() + FAILURE_S
                if len(self._failures) > MAX_FAILURES:
                    del self._failures[next(iter(self._failures))]
            raise

    def _check(self, host: str) -> None:
        if self._failures.get(host, 0.0) > self._now():
            raise OSError("the name had no address just now")
