"""The process's context is made once, in a thread, and waited for without blocking the loop."""

from __future__ import annotations

import asyncio
import ssl
from threading import Event

import httpx
import pytest

from lib.transport.client import AsyncClient
from lib.transport.tls import SharedContext
from tests.unit.transport.scripted import turns


class Maker:
    def __init__(self) -> None:
        self.count = 0
        self.failures = 0
        self.may_go = Event()

    def __call__(self) -> ssl.SSLContext:
        self.count += 1
        assert self.may_go.wait(5)
        if self.failures:
            self.failures -= 1
            raise OSError("no such file")
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


async def test_all_who_ask_get_the_one_context_and_the_loop_goes_on_meanwhile() -> None:
    maker = Maker()
    shared = SharedContext("http/1.1", make=maker)
    first, second = asyncio.ensure_future(shared.ready()), asyncio.ensure_future(shared.ready())
    await turns(3)
    assert not first.done()
    maker.may_go.set()
    assert await first is await second is await shared.ready()
    assert maker.count == 1


async def test_a_cancelled_waiter_takes_the_context_from_nobody() -> None:
    maker = Maker()
    shared = SharedContext(make=maker)
    gone, waiting = asyncio.ensure_future(shared.ready()), asyncio.ensure_future(shared.ready())
    await turns(2)
    gone.cancel()
    await asyncio.wait({gone})
    maker.may_go.set()
    assert (await waiting).check_hostname
    assert maker.count == 1


async def test_a_failure_is_told_and_the_next_one_tries_again() -> None:
    maker = Maker()
    maker.failures = 1
    maker.may_go.set()
    shared = SharedContext(make=maker)
    with pytest.raises(OSError, match="no such file"):
        await shared.ready()
    await shared.ready()
    assert maker.count == 2


def test_a_thread_may_begin_before_there_is_a_loop() -> None:
    maker = Maker()
    maker.may_go.set()
    shared = SharedContext(make=maker)
    begun = shared.begin()
    assert asyncio.run(shared.ready()) is begun.result()


def test_httpxs_context_is_as_strict_as_ever() -> None:
    context = SharedContext().begin().result()
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert len(context.get_ca_certs()) == len(httpx.create_ssl_context().get_ca_certs()) > 50


async def test_a_client_over_plain_http_reads_no_authorities() -> None:
    async with AsyncClient(trust_env=False) as client:
        assert client._transport._tls is None  # type: ignore[attr-defined]
