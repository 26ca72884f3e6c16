"""The first chat of a process: what it costs, and how long it takes to the first content."""

from __future__ import annotations

from statistics import median

from tests.bench import wire
from tests.bench.report import Aim, Report
from tests.bench.stand import Account, Ask, Program, Stand, open_stand

MAX_TIMES_THE_FLOOR = 1.0
COMMAND = "scripts/bench first-request"

Figures = tuple[float, float]
"""Milliseconds of CPU, and milliseconds to the first content."""


def measure(*, is_quick: bool = False) -> Report:
    rounds = 1 if is_quick else 12
    ask = Ask(chars=60)
    taken: dict[str, list[tuple[Figures, Figures]]] = {"floor": [], "gateway": []}
    for number in range(rounds + 1):
        with open_stand() as stand:
            (account,) = stand.log_in(1)
            for name, figures in taken.items():
                found = _first_and_second(stand, name, ask, account)
                if number:  # The first process compiles.
                    figures.append(found)
    ratios = [
        median(
            ours[0][kind] / theirs[0][kind]
            for ours, theirs in zip(taken["gateway"], taken["floor"], strict=True)
        )
        for kind in (0, 1)
    ]
    return Report(
        title=f"first-request: a chat in a new process that serves already; {rounds} processes of each",
        head=("program", "first: CPU ms", "to content ms", "second: CPU ms", "to content ms"),
        rows=[
            (
                name,
                *(
                    f"{median(each[turn][kind] for each in all_of_it):.1f}"
                    for turn in (0, 1)
                    for kind in (0, 1)
                ),
            )
            for name, all_of_it in taken.items()
        ],
        aims=[
            Aim("CPU of the first chat, gateway to floor", ratios[0], MAX_TIMES_THE_FLOOR, "×"),
            Aim("time to its first content", ratios[1], MAX_TIMES_THE_FLOOR, "×"),
        ],
        command=COMMAND,
        notes=[
            "in the first chat, the gateway refreshes its account's token: one more call to the upstream",
            "both read all certificate authorities: the floor before its answer, the gateway beside it",
        ],
    )


def _first_and_second(stand: Stand, name: str, ask: Ask, account: Account) -> tuple[Figures, Figures]:
    program: Program = stand.floor if name == "floor" else stand.gateway
    return _chat(stand, program, ask, account), _chat(stand, program, ask, account)


def _chat(stand: Stand, program: Program, ask: Ask, account: Account) -> Figures:
    prepared = stand.ask_floor(ask, account) if program is stand.floor else stand.ask_gateway(ask)
    connection = wire.Connection(program.url)
    before_s = program.usage().cpu_s
    answer = connection.ask(prepared)
    wire.verify(wire.told_by_gateway(answer.body()), ask.text)
    used_s = program.usage().cpu_s - before_s
    connection.close()
    return used_s * 1000, answer.first_content_s * 1000
