"""The time to the first content if the store is 20 ms away and the upstream 60 ms, by situation.

The gateway runs in this process, over a store and before a simulator that answer late on purpose. The floor
is the sum of the trips and calls that each situation needs, one after the other. A test counts them
(tests/unit/store/test_round_trips.py). New connections cost nothing more here.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from starlette.types import ASGIApp, Receive, Scope, Send

from lib.chat.caller import Caller
from lib.chat.events import Content
from lib.chat.request import ChatRequest, Message, TextPart
from lib.settings import Settings
from lib.store import Change, Outcome
from lib.store.memory import MemoryStore
from lib.trace import current_trace
from lib.upstreams.chatglm.gateway import Gateway
from lib.upstreams.chatglm.reply import open_reply
from lib.upstreams.choose import close_services, services_of
from lib.upstreams.interface import Call
from simulator.app import Simulator
from simulator.server import ThreadServer
from tests.bench import wire
from tests.bench.report import Aim, Report

STORE_S = 0.020
UPSTREAM_S = 0.060
MAX_RATIO = 1.25
"""What is neither trip nor call: our own CPU, the simulator's, the loopback's."""
COMMAND = "scripts/bench round-trips"


class FarStore(MemoryStore):
    """A store that answers late. Every operation of a request's beginning is a step on a record."""

    async def alter(self, record: str, change: Change, /) -> Outcome:
        outcome = await super().alter(record, change)
        await asyncio.sleep(STORE_S)
        return outcome


class Stand:
    """One store and one simulator; a process is a gateway of its own over them."""

    def __init__(self, base_url: str, simulator: Simulator) -> None:
        self.simulator = simulator
        self._settings = Settings(base_url=base_url)
        self._store = FarStore()

    def process(self) -> Gateway:
        return Gateway(self._settings, store=self._store)

    def account(self) -> str:
        return self.simulator.add_account()

    async def first_content_s(self, gateway: Gateway, *tokens: str) -> float:
        """Ask, read to the end, and return the time to the first content."""
        chat = ChatRequest(
            model="glm-5.3-flash", messages=(Message("user", (TextPart("[scene:text chars=20]"),)),)
        )
        caller = Caller(tokens, is_owner=True)
        call = Call(services=services_of(self._settings), caller=caller, trace=current_trace())
        began_at = time.perf_counter()
        async with open_reply(gateway, chat, call) as reply:
            took_s = time.perf_counter() - began_at
            events = [event async for batch in reply for event in batch]
        if not any(isinstance(event, Content) for event in events):
            raise wire.GarbledAnswer("an answer without content")
        return took_s


def measure(*, is_quick: bool = False) -> Report:
    rounds = 1 if is_quick else 15
    os.environ["no_proxy"] = "127.0.0.1"
    with _far_simulator() as (base_url, simulator):
        taken = asyncio.run(_measure(Stand(base_url, simulator), rounds))
        if simulator.violations:
            raise wire.GarbledAnswer(f"the simulator complains: {simulator.violations[:3]}")
    rows: list[tuple[str, ...]] = []
    aims: list[Aim] = []
    for name, (trips, calls, runs) in taken.items():
        sum_ms = (trips * STORE_S + calls * UPSTREAM_S) * 1000
        took_ms = median(runs) * 1000
        rows.append(
            (name, f"{trips} + {calls}", f"{sum_ms:.0f}", f"{took_ms:.0f}", f"{took_ms / sum_ms:.2f}×")
        )
        aims.append(Aim(f"{name}, to the sum", took_ms / sum_ms, MAX_RATIO, "×"))
    return Report(
        title="round-trips: ms to the first content, store 20 ms and upstream 60 ms away, "
        f"median of {rounds} each",
        head=("situation", "trips + calls", "their sum", "measured", "ratio"),
        rows=rows,
        aims=aims,
        command=COMMAND,
    )


async def _measure(stand: Stand, rounds: int) -> dict[str, tuple[int, int, list[float]]]:
    taken: dict[str, tuple[int, int, list[float]]] = {
        "warm process": (1, 1, []),
        "new process, token in the store": (1, 1, []),
        "first request ever": (3, 2, []),
        "warm, access token refused": (3, 3, []),
        "another account after a refusal, new process": (2, 2, []),
    }
    warm, first, refused, failover = stand.account(), stand.account(), stand.account(), stand.account()
    process = stand.process()
    for token in (warm, first, refused, failover):  # imports and connections
        await stand.first_content_s(process, token)

    async def anew(*tokens: str) -> float:
        gateway = stand.process()
        try:
            return await stand.first_content_s(gateway, *tokens)
        finally:
            await gateway.aclose()

    for _ in range(rounds):
        taken["warm process"][2].append(await stand.first_content_s(process, warm))
        taken["new process, token in the store"][2].append(await anew(warm))
        taken["first request ever"][2].append(await anew(stand.account()))
        stand.simulator.expire_access_tokens(stand.simulator.account(refused).uid)
        taken["warm, access token refused"][2].append(await stand.first_content_s(process, refused))
        busy = stand.account()
        await stand.first_content_s(process, busy)
        stand.simulator.play("throttled_429", times=1)
        taken["another account after a refusal, new process"][2].append(await anew(busy, failover))
    await process.aclose()
    await close_services()
    return taken


@contextmanager
def _far_simulator() -> Iterator[tuple[str, Simulator]]:
    simulator = Simulator()
    with ThreadServer(_far(simulator.app), name="far-simulator", path="/chatglm") as server:
        yield server.base_url, simulator


def _far(app: ASGIApp) -> ASGIApp:
    async def answer_late(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(UPSTREAM_S)
        await app(scope, receive, send)

    return answer_late
