"""A hundred answers at once in one process: all whole, how soon, and how much memory each takes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from statistics import median

from tests.bench import wire
from tests.bench.report import Aim, Report, percentile
from tests.bench.stand import Ask, Program, open_stand

MAX_KB_A_STREAM = 150.0
PACE_S = 0.05
COMMAND = "scripts/bench hundred-streams"


def measure(*, is_quick: bool = False) -> Report:
    streams = 4 if is_quick else 100
    rounds = 1 if is_quick else 3
    plain = Ask(chars=100 if is_quick else 1500, step=15)
    firsts: dict[str, list[float]] = {"floor": [], "gateway": []}
    grown: dict[str, list[float]] = {"floor": [], "gateway": []}
    for _ in range(rounds):  # new processes: memory that was once used stays with a process
        with open_stand(pace_s=PACE_S, accounts=streams) as stand:
            accounts = stand.log_in(streams)
            asks = [replace(plain, seed=number) for number in range(streams)]
            to_floor = [stand.ask_floor(ask, account) for ask, account in zip(asks, accounts, strict=True)]
            to_gateway = [stand.ask_gateway(ask) for ask in asks]
            short = [stand.ask_gateway(Ask(chars=10))] * streams
            _warm_up(stand.floor, [stand.ask_floor(Ask(chars=10), account) for account in accounts])
            _warm_up(stand.gateway, short)  # the least recently used account each: all have their tokens
            for name, program, prepared in (
                ("floor", stand.floor, to_floor),
                ("gateway", stand.gateway, to_gateway),
            ):
                answers, grown_kb = asyncio.run(_watched(program, prepared))
                for ask, answer in zip(asks, answers, strict=True):
                    wire.verify(wire.told_by_gateway(answer.body()), ask.text)
                firsts[name] += [answer.first_content_s * 1000 for answer in answers]
                grown[name].append(grown_kb / streams)
            stand.check_simulator()
    return Report(
        title=(
            f"hundred-streams: {streams} at once, {plain.events} events each, one every "
            f"{PACE_S * 1000:g} ms; {rounds} times in new processes"
        ),
        head=("through", "first content, median ms", "p99 ms", "kB a stream (median)"),
        rows=[
            (
                name,
                f"{median(firsts[name]):.0f}",
                f"{percentile(firsts[name], 99):.0f}",
                f"{median(grown[name]):.0f}",
            )
            for name in firsts
        ],
        aims=[Aim("memory of the gateway for a stream", median(grown["gateway"]), MAX_KB_A_STREAM, " kB")],
        command=COMMAND,
        notes=[f"{streams * rounds} answers of each arrived whole, by their sha256: none lost, none garbled"],
    )


def _warm_up(program: Program, prepared: list[bytes]) -> None:
    for request in prepared:
        connection = wire.Connection(program.url)
        connection.ask(request).body()
        connection.close()


async def _watched(program: Program, prepared: list[bytes]) -> tuple[list[wire.Answer], float]:
    """Return the answers, and by how many kB the process grew while all of them were under way."""
    before = program.usage().resident_bytes
    asking = asyncio.create_task(wire.ask_all(program.url, prepared))
    most = before
    while not asking.done():
        await asyncio.wait({asking}, timeout=0.5)
        now = await asyncio.to_thread(program.usage)
        most = max(most, now.resident_bytes)
    return await asking, (most - before) / 1000
