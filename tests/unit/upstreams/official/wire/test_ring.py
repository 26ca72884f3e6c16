"""The gate of a key and model, the retries, and the choice among keys."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from lib.errors import AccountBusy, GatewayError
from lib.receiving import Answer
from lib.trace import Trace
from lib.upstreams.official.wire.client import OfficialAPI
from lib.upstreams.official.wire.gate import Gate, GateLimits, Gates
from lib.upstreams.official.wire.keys import Key
from lib.upstreams.official.wire.ring import KeyRing, Patience, Terms
from simulator.official.app import Official
from tests.support.waiting import eventually

MODEL = "glm-4.5"
AT_ONCE = Patience(too_many_s=(0.0, 0.0), overloaded_s=(0.0,), broken_s=(0.0,))


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def asking(
    api: OfficialAPI, model: str = MODEL, prompt: str = "Hello!", **more: Any
) -> Callable[[Key], Awaitable[Answer]]:
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], **more}
    return lambda key: api.post(key, "chat/completions", body)


def terms(model: str = MODEL, **more: Any) -> Terms:
    return Terms(model=model, trace=Trace(), **more)


# Retries


@pytest.mark.parametrize(
    ("code", "tries"),
    [
        ("1302", 3),
        ("1303", 3),
        ("1305", 2),
        ("1312", 2),
        ("1230", 2),
        ("1234", 2),
        ("500", 2),
        ("1231", 2),
        ("1701", 2),
        ("1308", 1),
        ("1309", 1),
        ("1113", 1),
        ("1121", 1),
        ("1211", 1),
        ("1301", 1),
    ],
)
async def test_a_refusal_is_tried_again_if_that_may_help(
    ring: KeyRing, api: OfficialAPI, official: Official, code: str, tries: int
) -> None:
    key = Key(official.add_key())
    official.play(f"error code={code}", times=9)
    its = terms()
    with pytest.raises(GatewayError) as caught:
        await ring.ask([key], asking(api), its)
    assert caught.value.number == int(code)
    assert len(official.calls) == tries == its.trace.attempts
    assert its.trace.account == key.label
    assert its.trace.refusal.code == int(code)


async def test_a_passing_refusal_is_seen_by_no_caller(
    ring: KeyRing, api: OfficialAPI, key: Key, official: Official
) -> None:
    official.play("error code=1302", times=2)
    answer = await ring.ask([key], asking(api), terms())
    assert json.loads(answer.body)["choices"]


@pytest.mark.parametrize(("code", "tries"), [("1230", 1), ("1302", 3)])
async def test_an_order_that_may_cost_something_is_not_repeated_after_a_breakdown(
    ring: KeyRing, api: OfficialAPI, official: Official, code: str, tries: int
) -> None:
    official.play(f"error code={code}", times=9)
    with pytest.raises(GatewayError):
        await ring.ask([Key(official.add_key())], asking(api), terms(once=True))
    assert len(official.calls) == tries


async def test_a_retry_that_would_come_too_late_is_left_out(
    api: OfficialAPI, key: Key, official: Official
) -> None:
    official.play("error code=1302", times=9)
    ring = KeyRing(patience=Patience(too_many_s=(30.0,)))
    until = asyncio.get_running_loop().time() + 5
    with pytest.raises(GatewayError):
        await ring.ask([key], asking(api), terms(until=until))
    assert len(official.calls) == 1


# The choice among keys


@pytest.mark.parametrize("why", ["1003", "1113"])
async def test_the_next_key_answers_if_one_is_refused_or_has_no_balance(
    ring: KeyRing, api: OfficialAPI, key: Key, official: Official, why: str
) -> None:
    bad = Key(official.add_key(refused=why) if why == "1003" else official.add_key(has_balance=False))
    for _ in range(2):
        its = terms()
        await ring.ask([bad, key], asking(api), its)
        assert its.trace.account == key.label
    assert [call.uid for call in official.calls] == [sim_label(k) for k in (bad, key, key)], "remembered"


async def test_a_key_without_balance_still_serves_free_models(
    ring: KeyRing, api: OfficialAPI, official: Official
) -> None:
    poor = Key(official.add_key(has_balance=False))
    with pytest.raises(GatewayError, match="no balance"):
        await ring.ask([poor], asking(api), terms())
    await ring.ask([poor], asking(api, "glm-4.5-flash"), terms("glm-4.5-flash"))


async def test_a_refused_key_is_tried_again_later(api: OfficialAPI, official: Official, key: Key) -> None:
    clock = Clock()
    ring = KeyRing(patience=AT_ONCE, clock=clock)
    official.keys[key.text].refused = "1003"
    for _ in range(2):
        with pytest.raises(GatewayError, match="wrong or expired"):
            await ring.ask([key], asking(api), terms())
    assert len(official.calls) == 1, "the key is not asked again at once"
    official.keys[key.text].refused = ""
    clock.now += AT_ONCE.refused_for_s
    await ring.ask([key], asking(api), terms())


@pytest.mark.parametrize("code", ["1302", "1305", "1308", "1301", "1121"])
async def test_no_second_key_stretches_a_limit(
    ring: KeyRing, api: OfficialAPI, key: Key, official: Official, code: str
) -> None:
    second = Key(official.add_key())
    official.play(f"error code={code}", key=key.text, times=9)
    with pytest.raises(GatewayError):
        await ring.ask([key, second], asking(api), terms())
    assert {call.uid for call in official.calls} == {sim_label(key)}


async def test_no_key_at_all_names_the_setting(ring: KeyRing, api: OfficialAPI) -> None:
    with pytest.raises(GatewayError, match="GLM_API_KEYS"):
        await ring.ask([], asking(api), terms())


async def test_a_key_and_model_rest_until_the_reset_and_are_not_asked(
    api: OfficialAPI, key: Key, official: Official
) -> None:
    clock = Clock()
    ring = KeyRing(patience=AT_ONCE, gates=Gates(clock=clock))
    second = Key(official.add_key())
    official.play("error code=1308")
    with pytest.raises(GatewayError) as caught:
        await ring.ask([key, second], asking(api), terms())
    rest_s = caught.value.retry_after_s or 0.0
    assert rest_s > 3600
    clock.now += 600
    with pytest.raises(GatewayError) as again:
        await ring.ask([key, second], asking(api), terms())
    assert again.value.status == 429
    assert again.value.retry_after_s == pytest.approx(rest_s - 600)
    assert len(official.calls) == 1
    await ring.ask([key], asking(api, "glm-4.6"), terms("glm-4.6"))
    clock.now += rest_s
    await ring.ask([key], asking(api), terms())


# The gate


async def test_a_few_requests_run_at_once_and_the_rest_wait(
    ring: KeyRing, api: OfficialAPI, key: Key, official: Official
) -> None:
    official.pace_s = 0.005
    answers = await asyncio.gather(*[ring.ask([key], asking(api), terms()) for _ in range(9)])
    assert len(answers) == len(official.calls) == 9, "no request was refused"
    assert official.keys[key.text].max_in_flight <= 4


async def test_the_gate_learns_from_1302(api: OfficialAPI, key: Key, official: Official) -> None:
    """glm-4.7-flash takes one request at once."""
    official.pace_s = 0.002
    ring = KeyRing(patience=Patience(too_many_s=(0.01, 0.02, 0.04, 0.08)))
    asked = [ring.ask([key], asking(api, "glm-4.7-flash"), terms("glm-4.7-flash")) for _ in range(8)]
    assert len(await asyncio.gather(*asked)) == 8
    refused = len(official.calls) - 8
    assert 0 < refused <= 6
    official.calls.clear()
    asked = [ring.ask([key], asking(api, "glm-4.7-flash"), terms("glm-4.7-flash")) for _ in range(4)]
    await asyncio.gather(*asked)
    assert len(official.calls) == 4, "it has learnt: not one more was refused"


async def test_a_wait_for_a_place_ends(key: Key) -> None:
    gate = Gates(GateLimits(at_first=1)).of(key, MODEL)
    loop = asyncio.get_running_loop()
    await gate.enter(loop.time() + 5)
    with pytest.raises(AccountBusy):
        await gate.enter(loop.time())
    gate.leave()
    await gate.enter(loop.time() + 5)
    gate.leave()
    assert gate.is_idle


async def test_places_are_given_in_order_and_a_cancelled_wait_loses_none(key: Key) -> None:
    gate = Gates(GateLimits(at_first=1)).of(key, MODEL)
    until = asyncio.get_running_loop().time() + 5
    order: list[int] = []

    async def wait(number: int) -> None:
        await gate.enter(until)
        order.append(number)

    await gate.enter(until)
    waiting = [asyncio.create_task(wait(number)) for number in range(3)]
    await eventually(lambda: len(gate._waiting) == 3)
    gate.leave()
    waiting[0].cancel()  # Its turn has come in the same moment: the place goes on to the next.
    await eventually(lambda: order == [1])
    gate.leave()
    await eventually(lambda: order == [1, 2])
    gate.leave()
    assert gate.is_idle
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_full_gate_grows_while_the_api_takes_more(key: Key) -> None:
    clock = Clock()
    gate = Gate(GateLimits(at_first=1, at_most=3, grows_after=1), clock)
    now = asyncio.get_running_loop().time()
    for _ in range(3):
        await gate.enter(now)
        gate.grow()
    with pytest.raises(AccountBusy):
        await gate.enter(now)
    gate.shrink()
    gate.leave()
    gate.grow()
    with pytest.raises(AccountBusy):
        await gate.enter(now)
    clock.now += GateLimits().learnt_for_s
    gate.grow()
    await gate.enter(now)


async def test_requests_that_wait_while_a_limit_is_met_are_refused_with_it(
    api: OfficialAPI, key: Key, official: Official
) -> None:
    ring = KeyRing(patience=AT_ONCE, gates=Gates(GateLimits(at_first=1)))
    official.play("error code=1310", times=9)
    asked = [ring.ask([key], asking(api), terms()) for _ in range(3)]
    refused = await asyncio.gather(*asked, return_exceptions=True)
    assert [getattr(error, "number", None) for error in refused] == [1310] * 3
    assert len(official.calls) == 1


def test_idle_gates_are_forgotten_and_busy_ones_are_not(key: Key) -> None:
    gates = Gates(GateLimits(max_gates=2))
    resting, idle = gates.of(key, "a"), gates.of(key, "b")
    resting.rest(60, GatewayError("wait"))
    gates.of(key, "c")
    assert gates.of(key, "a") is resting
    assert gates.of(key, "b") is not idle


def sim_label(key: Key) -> str:
    """Name a key as the simulator does."""
    return key.text.partition(".")[0]
