"""What the gateway adds to the time to the first content."""

from __future__ import annotations

import time
from statistics import median

from tests.bench import wire
from tests.bench.report import Aim, Report, percentile
from tests.bench.stand import Ask, open_stand

MAX_ADDED_MS = 3.0
WARM_UP = 20
PAUSE_S = 0.003
"""Before each request: what the last one left to do, as deleting its conversation, is not the next one's."""
ORDERS = ((0, 1, 2), (2, 0, 1), (1, 2, 0), (2, 1, 0), (0, 2, 1), (1, 0, 2))
COMMAND = "scripts/bench first-content"


def measure(*, is_quick: bool = False) -> Report:
    rounds = 3 if is_quick else 200
    ask = Ask(chars=60)
    times: dict[str, list[float]] = {"simulator, directly": [], "floor": [], "gateway": []}
    with open_stand() as stand:
        (account,) = stand.log_in(1)
        connections = [wire.Connection(url) for url in (stand.chat_url, stand.floor.url, stand.gateway.url)]
        tellers = [wire.told_by_upstream, wire.told_by_gateway, wire.told_by_gateway]
        for number in range(rounds + (1 if is_quick else WARM_UP)):
            prepared = [
                stand.ask_simulator(ask, account),
                stand.ask_floor(ask, account),
                stand.ask_gateway(ask),
            ]
            answers = {}
            for place in ORDERS[number % len(ORDERS)]:
                time.sleep(PAUSE_S)
                answers[place] = connections[place].ask(prepared[place])
            for place, name in enumerate(times):
                wire.verify(tellers[place](answers[place].body()), ask.text)
                times[name].append(answers[place].first_content_s * 1000)
        for connection in connections:
            connection.close()
        stand.check_simulator()
    kept = {name: taken[-rounds:] for name, taken in times.items()}
    direct = kept["simulator, directly"]
    added = {
        name: median(mine - base for mine, base in zip(taken, direct, strict=True))
        for name, taken in kept.items()
    }
    return Report(
        title=f"first-content: ms to the first content, one warm stream at a time, {rounds} of each in turn",
        head=("read through", "median", "p10", "p90", "added (median of pairs)", "added (p10s)"),
        rows=[
            (
                name,
                f"{median(taken):.2f}",
                f"{percentile(taken, 10):.2f}",
                f"{percentile(taken, 90):.2f}",
                f"{added[name]:+.2f}",
                f"{percentile(taken, 10) - percentile(direct, 10):+.2f}",
            )
            for name, taken in kept.items()
        ],
        aims=[Aim("the gateway adds", added["gateway"], MAX_ADDED_MS, " ms")],
        command=COMMAND,
        notes=["p10: the fastest tenth, which other programs of the machine disturbed least"],
    )
