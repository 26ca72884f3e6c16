"""Try one fault of one call after another: `python -m tests.system.faults.worker` reads which; reports each.

A process of its own: settings are read from the environment, so that one process can but try them in turn.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from lib import settings
from lib.chat.caller import Caller
from lib.upstreams.chatglm.accounts.callers import accounts_of
from simulator.app import Simulator
from simulator.server import SimulatorServer
from tests.support.client import KEY, Client
from tests.support.live import LiveGateway
from tests.support.log import logged
from tests.support.waiting import wait_until
from tests.system.faults import staging
from tests.system.faults.calls import KINDS, PROMPT, TEXT, Kind, Outcome, says
from tests.system.faults.proxy import Answer, Exchange, FaultProxy
from tests.system.faults.staging import HEAVY, LOST, SKEW_S

TIMEOUT_S, HEAVY_TIMEOUT_S = "2.5", "20"
"""Of silences: longer than any pause of a busy machine; a hundred thousand chunks take some seconds."""
EASE_S = 20.0
ONCE_S = 0.25
"""Less than the pause before a second try; a first one is made at once."""
QUIET = ("request", "clock corrected", "clock not corrected")
"""Log lines that are no news here."""


@dataclass
class Cell:
    """What one fault of one call came to."""

    call: str
    fault: str
    outcome: Outcome
    tries: int
    """How often the call was made of which the fault is."""
    warnings: list[str]
    problems: list[str] = field(default_factory=list)
    """What should not be, whatever the client was told."""
    seconds: float = 0.0


class World:
    """One process's simulator, proxy and gateway; one account to each cell."""

    def __init__(
        self,
        server: SimulatorServer,
        proxy: FaultProxy,
        live: LiveGateway,
        http: httpx.Client,
        *,
        folder: Path,
    ) -> None:
        self.sim: Simulator = server.simulator
        self.proxy = proxy
        self.live = live
        self.client = Client(http, live.url)
        self.folder = folder
        self.video_id = ""
        self.spare = ""
        """The token of an account that the gateway does not know."""
        self.plays_tiny = False

    def renew(self, fault: str) -> None:
        """Begin with a new account, and so with a new gateway, which knows of nothing yet."""
        self.sim.reset(accounts=True)
        self.sim.now = time.time
        self.sim.linger_s = 0.0
        self.proxy.lift()
        self.plays_tiny = False
        token = self.sim.add_account()
        self.uid = self.sim.account(token).uid
        timeout_s = HEAVY_TIMEOUT_S if fault in HEAVY else TIMEOUT_S
        os.environ.update(
            CHATGLM_BASE_URL=self.proxy.base_url,
            CHATGLM_REFRESH_TOKENS=token,
            API_KEYS=KEY,
            STORE_URL="memory://",
            CONNECT_TIMEOUT_S=timeout_s,
            FIRST_CONTENT_TIMEOUT_S=timeout_s,
            IDLE_TIMEOUT_S=timeout_s,
            ACCOUNT_WAIT_S="10",
        )

    def keep_store(self) -> None:
        """Let the gateway keep its state in a file. A store that forgets takes no account."""
        os.environ["STORE_URL"] = f"sqlite:///{self.folder / self.uid}.db"

    def rest(self) -> None:
        """Wait for what is done after an answer."""
        wait_until(self.live.is_idle, EASE_S, "the gateway is idle")

    def skew(self) -> None:
        self.sim.now = lambda: time.time() + SKEW_S

    def stage(self, kind: Kind, fault: str) -> None:
        answer = kind.answers.get(fault)
        if answer is None:
            self.proxy.refuse(after=kind.follows, for_s=ONCE_S if kind.is_once else None)
            return
        self.plays_tiny = fault == "tiny" and kind.tiny_scene is not None
        scene = kind.tiny_scene if self.plays_tiny else kind.scene
        if scene is not None:
            self.sim.play(scene)
        if kind.acts and fault in LOST:
            answer = staging.carried_out(answer)
        if fault == "clock" and answer is staging.forward:
            answer = self._skewed(answer)
        self.proxy.stage(kind.path, answer, times=1 if kind.is_once or fault == "clock" else 1000)

    def _skewed(self, answer: Answer) -> Answer:
        async def skewed(exchange: Exchange) -> None:
            self.skew()
            await answer(exchange)

        return skewed

    def pass_time(self) -> None:
        """Let rests be over that the gateway has taken, for the account and for the clock."""
        owner = Caller(settings.current().refresh_tokens, is_owner=True)
        gateway = self.live.gateways[-1]
        for account in accounts_of(owner):
            self.live.run(gateway.pool.cool_downs.succeeded(account))
        gateway.upstream._clock._rests_until = None


@contextmanager
def world() -> Iterator[World]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        server = stack.enter_context(SimulatorServer())
        sim = server.simulator
        proxy = FaultProxy(server.base_url, is_idle=lambda: sim.active_generations() == 0)
        stack.enter_context(proxy)
        live = stack.enter_context(LiveGateway())
        http = stack.enter_context(httpx.Client(timeout=60.0, trust_env=False))
        yield World(server, proxy, live, http, folder=folder)


def try_cell(world: World, call: str, fault: str) -> Cell:
    kind = KINDS[call]
    world.renew(fault)
    kind.prepare(world)
    world.rest()
    before = world.proxy.count(kind.path)
    world.stage(kind, fault)
    with logged() as lines:
        outcome = kind.ask(world)
        problems = list(_left_behind(world))
    told = [line for line in lines if line["level"] == "WARNING" and line["message"] not in QUIET]
    tries = world.proxy.count(kind.path) - before
    cell = Cell(call, fault, outcome, tries, [line["message"] for line in told], problems)
    cell.problems += _unaccounted(world, told)
    cell.problems += _next(world, cell)
    cell.problems += _violations(world, cell)
    return cell


# What must be so after each


def _left_behind(world: World) -> Iterator[str]:
    try:
        world.rest()
    except AssertionError:
        yield f"leases {world.live.leases()}, tasks {[task.get_name() for task in world.live.strays()]}"
    yield from (f"the loop complains: {complaint}" for complaint in world.live.complaints)
    yield from (f"the proxy complains: {complaint}" for complaint in world.proxy.complaints)
    world.live.complaints.clear()
    world.proxy.complaints.clear()


def _unaccounted(world: World, told: list[dict[str, Any]]) -> Iterator[str]:
    """Name conversations that are neither deleted nor reported."""
    reported = {line.get("conversation_id") for line in told}
    for conversation_id in set(world.sim.live_conversations()) - reported:
        yield f"conversation {conversation_id} is neither deleted nor reported"
    if len(world.sim.videos) > 1:
        yield f"{len(world.sim.videos)} videos were ordered"


def _next(world: World, cell: Cell) -> Iterator[str]:
    """Ask again, once the fault is over; a throttle must be told with its time, and be over with it."""
    world.proxy.lift()
    world.plays_tiny = False
    response = world.client.chat(PROMPT)
    if response.status_code == 429 and cell.fault == "too_often":
        if not 0 < int(response.headers.get("retry-after", 0)) <= 30:
            yield f"the next request is throttled without its time: {response.headers.get('retry-after')}"
        world.pass_time()
        response = world.client.chat(PROMPT)
    elif cell.call == "time" and cell.outcome.status == 502:
        world.pass_time()
        response = world.client.chat(PROMPT)
    if not says(response, TEXT):
        yield f"the next request fails: {response.status_code} {response.text[:200]}"
    kind = KINDS[cell.call]
    if kind.comes_again:
        try:
            wait_until(lambda: is_good(kind.ask(world)), EASE_S)
        except AssertionError:
            yield "asked again, it is not right"
    yield from _left_behind(world)


def is_good(outcome: Outcome) -> bool:
    return outcome.status < 300 and outcome.is_right


def _violations(world: World, cell: Cell) -> Iterator[str]:
    stale = [violation for violation in world.sim.violations if "signature is stale" in violation]
    yield from (violation for violation in world.sim.violations if violation not in stale)
    if len(stale) > _most_stale(cell):
        yield f"signed with the wrong time {len(stale)} times"
    if world.sim.account(world.uid).max_overlap > 1:
        yield "generations overlap"


def _most_stale(cell: Cell) -> int:
    """Once, where the clock is wrong; where the time cannot be had, once more until it is asked for again."""
    if cell.call == "time":
        return 1 if cell.outcome.status == 200 else 3
    return cell.fault == "clock"


def main() -> None:
    for name in settings._NAMES:
        os.environ.pop(name, None)
    os.environ["no_proxy"] = "127.0.0.1"
    with world() as tried:
        for line in sys.stdin:
            call, fault = line.split()
            began_at = time.monotonic()
            cell = try_cell(tried, call, fault)
            cell.seconds = time.monotonic() - began_at
            sys.stdout.write(json.dumps(asdict(cell)) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
