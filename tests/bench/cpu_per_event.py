"""CPU of the gateway for each event of the upstream, against the floor program's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from statistics import median

from tests.bench import wire
from tests.bench.report import Aim, Report
from tests.bench.stand import Account, Ask, Program, Stand, open_stand

MAX_TIMES_THE_FLOOR = 2.0
MAX_TIMES_WITH_TOOLS = 1.3
MAX_TIMES_THE_ACCOUNT = 1.0
"""An event of the official API is smaller than one of the account, so it must not cost more."""
MAX_TIMES_WHEN_LONGER = 1.1
"""The aim is 1; a tenth is what two measurements of the same differ by on a shared machine."""
STREAMS = 8
"""Side by side, so that a paced answer does not leave the clock running for nothing."""
OFFICIAL_MODELS = ("glm-4.6", "glm-4.5")
"""The simulator takes four requests at once for each of them: together, these are STREAMS."""
PACE_S = 0.005
COMMAND = "scripts/bench cpu-per-event"

Prepare = Callable[[Ask], list[bytes]]


class Meter:
    """Has one program answer, and says what an event cost it."""

    def __init__(self, program: Program, prepare: Prepare) -> None:
        self._program = program
        self._prepare = prepare
        self.taken: dict[Ask, list[float]] = {}
        self.events_a_chunk: dict[Ask, float] = {}
        """How many events one read found, at the last measurement."""

    def measure(self, ask: Ask) -> None:
        prepared = self._prepare(ask)
        before_s = self._program.usage().cpu_s
        answers = asyncio.run(wire.ask_all(self._program.url, prepared))
        used_s = self._program.usage().cpu_s - before_s
        for answer in answers:
            wire.verify(wire.told_by_gateway(answer.body()), ask.text)
        chunks = sum(len(wire.payloads(answer.body())) for answer in answers)
        self.events_a_chunk[ask] = ask.events * len(answers) / chunks
        self.taken.setdefault(ask, []).append(used_s / (ask.events * len(answers)) * 1e6)

    def median_us(self, ask: Ask) -> float:
        return median(self.taken[ask])


def measure(*, is_quick: bool = False) -> Report:
    rounds = 1 if is_quick else 5
    scale = 1 if is_quick else 20
    single = Ask(chars=5 * 20 * scale)
    batched = Ask(chars=5 * 16 * 5 * scale, batch=16)
    longer = Ask(chars=10 * batched.chars, batch=16)
    with_tools = replace(single, has_tools=True)
    longer_with_tools = replace(longer, has_tools=True)
    with open_stand(pace_s=PACE_S, accounts=STREAMS) as stand:
        accounts = stand.log_in(STREAMS)
        floor = Meter(stand.floor, _through_floor(stand, accounts))
        gateway = Meter(stand.gateway, lambda ask: [stand.ask_gateway(ask)] * STREAMS)
        official = Meter(stand.gateway, _through_official(stand))
        for meter in (floor, gateway, official):
            meter.measure(single)  # warm
            meter.taken.clear()
        for _ in range(rounds):
            for ask in (single, batched, longer):
                floor.measure(ask)
                gateway.measure(ask)
            official.measure(single)
            for ask in (with_tools, longer_with_tools):
                gateway.measure(ask)
        stand.check_simulator()
    return Report(
        title=(
            f"cpu-per-event: µs of CPU (user and system) for one event of the upstream; {STREAMS} streams, "
            f"a write every {PACE_S * 1000:g} ms, median of {rounds}, interleaved"
        ),
        head=("the stream", "floor", "gateway", "ratio", "events a read"),
        rows=[
            *[
                (
                    f"{ask.events} events, {how}",
                    f"{floor.median_us(ask):.1f}",
                    f"{gateway.median_us(ask):.1f}",
                    f"{_ratio(gateway, floor, ask):.2f}",
                    f"{gateway.events_a_chunk[ask]:.1f}",
                )
                for how, ask in (
                    ("one at a time", single),
                    ("16 in a write", batched),
                    ("16 in a write", longer),
                )
            ],
            (
                f"{single.events} events of the official API",
                "–",
                f"{official.median_us(single):.1f}",
                "–",
                f"{official.events_a_chunk[single]:.1f}",
            ),
        ],
        aims=[
            Aim("gateway to floor, one at a time", _ratio(gateway, floor, single), MAX_TIMES_THE_FLOOR, "×"),
            Aim("gateway to floor, 16 in a write", _ratio(gateway, floor, batched), MAX_TIMES_THE_FLOOR, "×"),
            Aim(
                "the official API to the account, one at a time",
                _ratio(official, gateway, single),
                MAX_TIMES_THE_ACCOUNT,
                "×",
            ),
            Aim(
                "an event of an answer ten times as long",
                gateway.median_us(longer) / gateway.median_us(batched),
                MAX_TIMES_WHEN_LONGER,
                "×",
            ),
            Aim(
                "with tools to without, one at a time",
                _ratio(gateway, gateway, with_tools, single),
                MAX_TIMES_WITH_TOOLS,
                "×",
            ),
            Aim(
                "with tools to without, ten times as long",
                _ratio(gateway, gateway, longer_with_tools, longer),
                MAX_TIMES_WITH_TOOLS,
                "×",
            ),
        ],
        command=COMMAND,
    )


def _through_floor(stand: Stand, accounts: list[Account]) -> Prepare:
    return lambda ask: [stand.ask_floor(ask, account) for account in accounts]


def _through_official(stand: Stand) -> Prepare:
    """Ask for the same answers at the official API."""
    models = [OFFICIAL_MODELS[number % len(OFFICIAL_MODELS)] for number in range(STREAMS)]
    return lambda ask: [stand.ask_gateway(ask, model=model) for model in models]


def _ratio(gateway: Meter, other: Meter, ask: Ask, other_ask: Ask | None = None) -> float:
    """Return the median of the ratios of each round: a disturbance of one program disturbs its neighbour."""
    pairs = zip(gateway.taken[ask], other.taken[other_ask or ask], strict=True)
    return median(ours / theirs for ours, theirs in pairs)
