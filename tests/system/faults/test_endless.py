"""Answers without an end: they are left, and not a byte more is held than the limit says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lib.receiving import MAX_ANSWER_BYTES
from lib.sse import MAX_EVENT_BYTES
from lib.upstreams.chatglm import gateway as gateway_module
from lib.upstreams.chatglm.clean_up import CleanUpLimits, TurnLimits
from simulator.scenes import sample_text
from tests.conftest import Upstream
from tests.support.client import Client, error_of
from tests.support.log import logged
from tests.system.faults import staging
from tests.system.faults.proxy import Answer, Exchange, FaultProxy

STREAM = "assistant/stream$"
PIECE = b"x" * 65536
ON_THE_WAY_BYTES = 16 * 2**20
"""Of what was sent, this much may lie in the buffers of both sockets and of both programs."""
ENDLESS_BYTES = 256 * 2**20


class Endless:
    """Say one thing again and again, and count the bytes until the gateway has had enough."""

    def __init__(self, piece: bytes, *, start: bytes = b"", most_bytes: int = ENDLESS_BYTES) -> None:
        self.sent = 0
        self._start = start
        self._piece = piece
        self._most = most_bytes

    async def __call__(self, exchange: Exchange) -> None:
        await exchange.send(staging.head(200, staging.EVENTS, staging.CHUNKED))
        if self._start:
            await exchange.send_chunk(self._start)
        while self.sent < self._most:
            await exchange.send_chunk(self._piece)
            self.sent += len(self._piece)


@pytest.fixture
def proxy(upstream: Upstream, client: Client, environment: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """Stand between the gateway, which has its token already, and the simulator."""
    sim = upstream.sim
    sim.linger_s = 0.0
    with FaultProxy(upstream.base_url, is_idle=lambda: sim.active_generations() == 0) as proxy:
        environment.setenv("CHATGLM_BASE_URL", proxy.base_url)
        environment.setenv("FIRST_CONTENT_TIMEOUT_S", "3")
        assert client.text("[scene:text chars=9]") == sample_text(9)
        yield proxy
    assert proxy.complaints == []


def stage(proxy: FaultProxy, answer: Answer) -> None:
    proxy.stage(STREAM, answer, times=100)


@pytest.mark.parametrize("start", [b"", b'data: {"parts":[{"content":[{"type":"text","text":"', b": "])
def test_a_line_without_end_is_not_read_to_its_end(client: Client, proxy: FaultProxy, start: bytes) -> None:
    endless = Endless(PIECE, start=start)
    stage(proxy, endless)
    response = client.chat()
    assert (response.status_code, error_of(response)["code"]) == (502, "upstream_error")
    assert endless.sent < 2 * (MAX_EVENT_BYTES + ON_THE_WAY_BYTES)  # it is tried twice


@pytest.mark.parametrize("start", [b'{"status":0,"result":"', b"<html>"])
def test_an_answer_without_end_that_is_no_stream_is_not_either(
    client: Client, proxy: FaultProxy, start: bytes
) -> None:
    endless = Endless(PIECE, start=start)
    stage(proxy, endless)
    response = client.chat()
    assert (response.status_code, error_of(response)["code"]) == (502, "upstream_error")
    assert endless.sent < 2 * (MAX_ANSWER_BYTES + ON_THE_WAY_BYTES)


@pytest.mark.parametrize("event", [b": keep-alive\n\n", b'data: {"status":"init","parts":[]}\n\n'])
@pytest.mark.parametrize("_", range(2))  # whether its end falls between two pieces is a matter of chance
def test_a_flood_that_says_nothing_is_a_silence(
    client: Client, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, event: bytes, _: int
) -> None:
    limits = CleanUpLimits(turn=TurnLimits(drain_s=60.0), whole_s=3.0)
    monkeypatch.setattr(gateway_module, "CleanUpLimits", lambda: limits)
    stage(proxy, Endless(event * (65536 // len(event)), most_bytes=2**40))
    with logged() as lines:
        response = client.chat()
    assert (response.status_code, error_of(response)["code"]) == (504, "upstream_timeout")
    assert "clean-up timed out" not in {line["message"] for line in lines}
