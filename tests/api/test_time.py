"""When bytes come, and what happens when nobody is left to take them: over bare sockets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from lib.upstreams.chatglm import turn as turn_module
from simulator.scenes import sample_text
from simulator.steps import Cue, Script, Step
from tests.conftest import Upstream
from tests.support.client import CHAT, KEY, Client, Streamed, chat_body, error_of
from tests.support.live import LiveGateway
from tests.support.log import logged
from tests.support.waiting import wait_until
from tests.support.wire import RawClient

AUTHORIZATION = {"authorization": f"Bearer {KEY}"}


def asking(
    gateway: LiveGateway, prompt: str, *, receive_buffer: int | None = None, **fields: Any
) -> RawClient:
    client = RawClient(gateway.url, receive_buffer=receive_buffer)
    client.post(CHAT, chat_body(prompt, **fields), **AUTHORIZATION)
    return client


# First bytes and silences


def test_a_throttled_account_answers_at_once_with_the_time_left(client: Client, upstream: Upstream) -> None:
    assert client.chat("[scene:error_10061_throttled]").status_code == 429
    chats = upstream.count("assistant/stream")
    began_at = time.monotonic()
    answer = client.chat("Hello!")  # ACCOUNT_WAIT_S is 30, and the account rests for 30 s.
    assert time.monotonic() - began_at < 5
    assert answer.status_code == 429
    assert error_of(answer)["code"] == "rate_limit_exceeded"
    assert 20 <= int(answer.headers["retry-after"]) <= 30
    assert upstream.count("assistant/stream") == chats


def test_a_stream_begins_before_its_content_and_never_falls_silent(
    client: Client, gateway: LiveGateway, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("HEARTBEAT_S", "0.1")
    with asking(gateway, "[scene:slow first=1 gap=0.4 count=2]", stream=True) as raw:
        raw.read_until(b": keep-alive\n\n")
        assert b"data:" not in raw.received
        raw.read_until(b"[DONE]")
    first, _, rest = raw.received.partition(b'"content":"word 0 "')
    # A busy machine sends fewer, and never more.
    assert 3 <= first.count(b": keep-alive") <= 12
    assert 1 <= rest.partition(b"word 1")[0].count(b": keep-alive") <= 5


def test_a_stream_that_says_enough_has_no_heartbeats(client: Client, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HEARTBEAT_S", "0.2")
    streamed = client.stream("[scene:slow first=0 gap=0.02 count=30]")
    assert streamed.heartbeats == 0
    assert streamed.is_done


def test_a_word_is_passed_on_when_it_comes_and_not_with_the_next(
    client: Client, gateway: LiveGateway
) -> None:
    with asking(gateway, "[scene:slow first=0 gap=5 count=2]", stream=True) as raw:
        began_at = time.monotonic()
        raw.read_until(b'"content":"word 0 "')
        assert time.monotonic() - began_at < 2
        raw.leave()


def test_done_is_sent_before_the_clean_up(client: Client, gateway: LiveGateway, upstream: Upstream) -> None:
    upstream.sim.fail("bulk_delete", delay_s=2)
    began_at = time.monotonic()
    with asking(gateway, "[scene:text chars=9]", stream=True) as raw:
        raw.read_until(b"data: [DONE]\n\n")
        raw.read_until(b"\r\n0\r\n\r\n")
        assert time.monotonic() - began_at < 1.5, "complete, to the last chunk"
        assert len(upstream.sim.live_conversations()) == 1
    wait_until(lambda: not upstream.sim.live_conversations())


def test_an_answer_in_one_piece_is_sent_before_the_clean_up(
    client: Client, gateway: LiveGateway, upstream: Upstream
) -> None:
    upstream.sim.fail("bulk_delete", delay_s=2)
    began_at = time.monotonic()
    assert client.text("[scene:text chars=9]") == sample_text(9)
    assert time.monotonic() - began_at < 1.5
    wait_until(lambda: not upstream.sim.live_conversations())


def test_a_client_that_has_its_answer_and_leaves_does_not_spoil_the_clean_up(
    client: Client, gateway: LiveGateway, upstream: Upstream
) -> None:
    upstream.sim.fail("bulk_delete", delay_s=0.2)
    with logged() as lines:
        raw = asking(gateway, "[scene:text chars=9]", stream=True)
        raw.read_until(b"\r\n0\r\n\r\n")
        raw.leave()
        wait_until(gateway.is_idle)
    assert [line["client_left"] for line in lines] == [False]
    assert upstream.sim.live_conversations() == []
    assert upstream.count("stop_stream") == 0


# Flow control


def test_a_client_that_does_not_read_holds_the_upstream_back(
    client: Client, gateway: LiveGateway, upstream: Upstream
) -> None:
    # A hundred and fifty megabytes; what fits into the kernel's buffers of two connections may go ahead.
    pieces = ["x" * 400] * 200_000

    def flood(cue: Cue) -> Iterator[Step]:
        script = Script(cue)
        yield script.opening()
        yield from script.increments("text", pieces, logic_id="t")

    def told() -> int:
        [account] = upstream.sim.book
        return len(account.generations[0].cue.said) if account.generations else 0

    upstream.sim.play(flood)
    with asking(gateway, "Hello!", stream=True, receive_buffer=4096) as raw:
        wait_until(told)
        before = -1
        give_up_at = time.monotonic() + 10
        while told() != before:
            assert time.monotonic() < give_up_at, "the gateway goes on reading"
            before = told()
            time.sleep(0.25)  # nothing to wait for: that nothing more happens is the point
        assert 0 < before < len(pieces) / 5
        while told() < before + 100:
            assert raw.read_some()
        raw.leave()
    wait_until(lambda: upstream.sim.active_generations() == 0)
    wait_until(lambda: not upstream.sim.live_conversations())


# Leaving

STAGES: dict[str, tuple[str, Callable[[Upstream], object]]] = {
    # A short answer could be complete with its headers, and needs no stop then.
    "before the headers": ("[scene:slow first=30]", lambda upstream: upstream.count("assistant/stream")),
    "before the first content": (
        "[scene:slow first=30]",
        lambda upstream: upstream.sim.live_conversations(),
    ),
    "in mid-answer": (
        "[scene:slow first=0 gap=0.02 count=9000]",
        lambda upstream: upstream.sim.live_conversations(),
    ),
    "while it is silent": ("[scene:stall]", lambda upstream: upstream.sim.live_conversations()),
}


@pytest.mark.parametrize("is_stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("is_rude", [True, False], ids=["reset", "closed"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_client_that_leaves_frees_the_account_at_once(
    *, client: Client, gateway: LiveGateway, upstream: Upstream, stage: str, is_rude: bool, is_stream: bool
) -> None:
    upstream.sim.linger_s = 30.0  # without stop_stream the account would stay busy that long
    prompt, is_reached = STAGES[stage]
    if stage == "before the headers":
        upstream.sim.fail("assistant/stream", delay_s=0.2)
    raw = asking(gateway, prompt, stream=is_stream)
    wait_until(lambda: is_reached(upstream))
    if is_stream and stage == "in mid-answer":
        raw.read_until(b"word 1")
    left_at = time.monotonic()
    if is_rude:
        raw.leave()
    else:
        raw.close()
    assert client.text("[scene:text chars=9]") == sample_text(9), "the account serves the next"
    assert time.monotonic() - left_at < 2
    assert upstream.count("stop_stream") == 1
    wait_until(lambda: not upstream.sim.live_conversations())


def test_a_client_that_leaves_the_line_is_not_served(
    client: Client, gateway: LiveGateway, upstream: Upstream
) -> None:
    with asking(gateway, "[scene:slow first=0 gap=0.02 count=9000]", stream=True) as first:
        first.read_until(b"word 1")
        second = asking(gateway, "never", stream=True)
        wait_until(lambda: any(len(made.pool._line) for made in gateway.gateways))
        second.leave()
        wait_until(lambda: not any(len(made.pool._line) for made in gateway.gateways))
        first.leave()
    assert client.text("[scene:text chars=9]") == sample_text(9)
    assert "never" not in str(upstream.chats())


def test_a_client_that_leaves_in_mid_body_is_no_error(
    client: Client, gateway: LiveGateway, upstream: Upstream
) -> None:
    raw = RawClient(gateway.url)
    raw.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\ncontent-length: 99\r\n")
    raw.send(f"authorization: Bearer {KEY}\r\n\r\n{{".encode())
    wait_until(gateway.strays)
    raw.leave()
    wait_until(gateway.is_idle)
    assert upstream.sim.calls == []


def test_many_that_leave_at_once_leave_nothing(
    client: Client, gateway: LiveGateway, upstream: Upstream, environment: pytest.MonkeyPatch
) -> None:
    tokens = [upstream.add_account().token for _ in range(4)]
    environment.setenv("CHATGLM_REFRESH_TOKENS", ",".join(tokens))
    raws = [asking(gateway, "[scene:slow first=0 gap=0.01 count=9000]", stream=n % 2 == 0) for n in range(12)]
    wait_until(lambda: len(upstream.sim.live_conversations()) == 4)
    for raw in raws:
        raw.leave()
    wait_until(gateway.is_idle)
    wait_until(lambda: not upstream.sim.live_conversations())
    assert upstream.count("assistant/stream") <= 12


def test_an_unexpected_error_in_mid_stream_breaks_off(
    client: Client, gateway: LiveGateway, monkeypatch: pytest.MonkeyPatch, upstream: Upstream
) -> None:
    read, reads = turn_module.Turn._read_upstream, count()

    async def fail_later(turn: turn_module.Turn, *until: float | None) -> Any:
        if next(reads) > 3:
            raise LookupError("a fault of ours")
        return await read(turn, *until)

    monkeypatch.setattr(turn_module.Turn, "_read_upstream", fail_later)
    with asking(gateway, "[scene:slow first=0 gap=0.02 count=9000]", stream=True) as raw:
        raw.read_to_end()
    assert b"[DONE]" not in raw.received
    assert not raw.received.endswith(b"0\r\n\r\n"), "it must not look complete"
    assert b"a fault of ours" not in raw.received
    wait_until(lambda: not upstream.sim.live_conversations())


def test_connections_are_kept_for_the_next_request(client: Client, gateway: LiveGateway) -> None:
    with RawClient(gateway.url) as raw:
        for _ in range(3):
            raw.received = b""
            raw.post(CHAT, chat_body("[scene:text chars=9]", stream=True), **AUTHORIZATION)
            raw.read_until(b"\r\n0\r\n\r\n")
        assert raw.received.startswith(b"HTTP/1.1 200")


def test_a_whole_stream_is_records_and_nothing_else(client: Client) -> None:
    streamed: Streamed = client.stream("[scene:text chars=500]")
    assert all(record.startswith(b"data: ") for record in streamed.raw.split(b"\n\n") if record)
    assert streamed.text == sample_text(500)
