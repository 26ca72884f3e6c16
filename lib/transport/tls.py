"""TLS contexts of the process, each made once.

To read all certificate authorities takes 40 ms and more, and OpenSSL does it without Python's lock. So a
thread does it, beside the imports, the store and the connecting.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

import httpx

HTTP_PROTOCOLS = ("http/1.1",)


class SharedContext:
    """One context for all who ask; it is made when the first of them says that it will be needed."""

    def __init__(
        self, *protocols: str, make: Callable[[], ssl.SSLContext] = httpx.create_ssl_context
    ) -> None:
        self._protocols = protocols
        self._make = make
        self._making: Future[ssl.SSLContext] | None = None
        self._lock = Lock()

    def begin(self) -> Future[ssl.SSLContext]:
        """Begin to make it, unless it is made already. A failure is told to all who wait for it."""
        with self._lock:
            if self._making is None or (self._making.done() and self._making.exception() is not None):
                executor = ThreadPoolExecutor(1, thread_name_prefix="tls")
                self._making = executor.submit(self._made)
                executor.shutdown(wait=False)
            return self._making

    async def ready(self) -> ssl.SSLContext:
        making = self.begin()
        if making.done():
            return making.result()
        return await asyncio.shield(asyncio.wrap_future(making))

    def _made(self) -> ssl.SSLContext:
        context = self._make()
        if self._protocols:
            context.set_alpn_protocols(list(self._protocols))
        return context


FOR_HTTP = SharedContext(*HTTP_PROTOCOLS)
FOR_OTHERS = SharedContext()
"""It names no protocol: a strict server of another one refuses a client that offers HTTP."""
