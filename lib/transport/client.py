"""httpx's client over our transport. If the environment names a proxy, httpx's own transport asks it."""

from __future__ import annotations

import ssl
from functools import partial
from typing import Any

import httpx

from lib.transport.pool import Transport


class AsyncClient(httpx.AsyncClient):
    def _init_transport(  # type: ignore[override] # httpx passes its arguments by name
        self,
        *,
        verify: ssl.SSLContext | bool = True,
        limits: httpx.Limits,
        transport: httpx.AsyncBaseTransport | None = None,
        **_: Any,
    ) -> httpx.AsyncBaseTransport:
        if transport is not None:
            return transport
        return Transport(tls=partial(httpx.create_ssl_context, verify), limits=limits)
