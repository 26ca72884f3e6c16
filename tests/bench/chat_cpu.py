"""CPU of the gateway for a short chat, and for each event of answers that come as fast as they can."""

from __future__ import annotations

import time
from statistics import median

from tests.bench import wire
from tests.bench.report import Aim, Report
from tests.bench.stand import Account, Ask, Program, Stand, open_stand

MAX_TIMES_A_SHORT_CHAT = 0.9
MAX_TIMES_AN_EVENT = 0.6
MAX_TIMES_WHEN_LONGER = 1.1
PAUSE_S = 0.004
"""After each chat: its conversation is deleted meanwhile, and that is counted to it."""
COMMAND = "scripts/bench chat-cpu"


def measure(*, is_quick: bool = False) -> Report:
    rounds = 1 if is_quick else 7
    short, events, longer = Ask(chars=60), Ask(chars=5 * 1000), Ask(chars=5 * 5000)
    counts = {short: 3, events: 1, longer: 1} if is_quick else {short: 100, events: 5, longer: 2}
    taken: dict[tuple[str, Ask], list[float]] = {}
    with open_stand() as stand:
        (account,) = stand.log_in(1)
        for number in range(rounds + 1):
            for ask, count in counts.items():
                for name, program in (("floor", stand.floor), ("gateway", stand.gateway)):
                    used_ms = _used_ms(stand, program, ask, account, count)
                    if number:  # The first round warms.
                        taken.setdefault((name, ask), []).append(used_ms)
        stand.check_simulator()
    ratios = {
        ask: median(
            ours / theirs for ours, theirs in zip(taken["gateway", ask], taken["floor", ask], strict=True)
        )
        for ask in counts
    }

    def figures(ask: Ask, per: float) -> tuple[str, str, str]:
        each = [median(taken[name, ask]) / per for name in ("floor", "gateway")]
        return f"{each[0]:.2f}", f"{each[1]:.2f}", f"{ratios[ask]:.2f}"

    of_events, of_longer = (median(taken["gateway", ask]) / ask.events * 1000 for ask in (events, longer))
    return Report(
        title=f"chat-cpu: CPU, user and system; one warm stream at a time, median of {rounds} rounds in turn",
        head=("asked", "floor", "gateway", "ratio"),
        rows=[
            ("a short chat, its clean-up included, ms", *figures(short, 1)),
            (f"an event of {events.events} as fast as they come, µs", *figures(events, events.events / 1000)),
            (f"an event of {longer.events} as fast as they come, µs", *figures(longer, longer.events / 1000)),
        ],
        aims=[
            Aim("a short chat, gateway to floor", ratios[short], MAX_TIMES_A_SHORT_CHAT, "×"),
            Aim(f"an event of {events.events}", ratios[events], MAX_TIMES_AN_EVENT, "×"),
            Aim(f"an event of {longer.events}", ratios[longer], MAX_TIMES_AN_EVENT, "×"),
            Aim("an event of the longer answer", of_longer / of_events, MAX_TIMES_WHEN_LONGER, "×"),
        ],
        command=COMMAND,
    )


def _used_ms(stand: Stand, program: Program, ask: Ask, account: Account, count: int) -> float:
    is_floor = program is stand.floor
    connection = wire.Connection(program.url)
    before_s = program.usage().cpu_s
    for _ in range(count):
        prepared = stand.ask_floor(ask, account) if is_floor else stand.ask_gateway(ask)
        wire.verify(wire.told_by_gateway(connection.ask(prepared).body()), ask.text)
        time.sleep(PAUSE_S)
    used_s = program.usage().cpu_s - before_s
    connection.close()
    return used_s / count * 1000
