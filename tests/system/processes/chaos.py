"""Four gateways over one store, five hundred requests, and processes that are killed and stopped meanwhile.

The upstream rotates strictly: a refresh token that was used is dead. A process that is killed after the
upstream has rotated and before it has heard of it loses the account by nature (test_fencing.py stages that);
here every kill and every stop waits for a moment at which nothing of the kind is under way.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from lib.settings import Settings
from lib.store import open_store
from lib.upstreams.chatglm.accounts.pool import LEASE_TTL_S
from tests.support.client import chat_body
from tests.support.waiting import eventually
from tests.system.processes.asking import Answer, Broken, Question, ask
from tests.system.processes.programs import Worker, is_named_by
from tests.system.processes.stand import ACCOUNT_WAIT_S, Stand, one_at_a_time, open_stand

REQUESTS = 500
WORKERS = 4
CLIENTS_EACH = 3
"""Callers of each worker: a stopped one holds up its own, and nobody else's."""
ACCOUNTS = 3
PACE_S = 0.01
LAST_REQUESTS = 100
"""Kept back until all is done to the workers that needs a request under way."""
SPREAD_S = 60.0
"""Requests are asked over this time, so that there are some whatever is done to the workers."""
EXPIRE_EVERY_S = 1.5
SETTLED_S = 4.0
"""So long after a rotation whoever was refused before it has used the new token, on a busy machine too."""
ANSWER_TIMEOUT_S = 240.0
LONG_PAUSE_S = LEASE_TTL_S + 4


@dataclass
class Outcome:
    """What has become of one request."""

    question: Question
    worker: str
    began_at: float
    ended_at: float = 0.0
    answer: Answer | None = None
    """None: the connection broke."""
    said: str = ""

    @property
    def is_right(self) -> bool:
        return self.answer is not None and self.question.is_answered_by(self.answer)

    def was_killed(self, killed_at: list[float]) -> bool:
        """Whether the connection broke while its own process was being killed."""
        return self.answer is None and any(self.began_at <= at <= self.ended_at for at in killed_at)

    def __repr__(self) -> str:
        came = f"broken: {self.said}" if self.answer is None else self.answer.summary()
        return f"{self.question.name} of {self.worker}, {self.ended_at - self.began_at:.1f} s: {came}"


@dataclass
class Report:
    """What was seen in the end."""

    outcomes: list[Outcome] = field(default_factory=list, repr=False)
    answered: int = 0
    lost: list[Outcome] = field(default_factory=list)
    """With their own process."""
    unexplained: list[Outcome] = field(default_factory=list)
    """All others that were not answered rightly."""
    asked_twice: dict[str, int] = field(default_factory=dict)
    """By the prompt: how often the upstream was made to generate it."""
    overlaps: dict[str, int] = field(default_factory=dict)
    """By the account: the most generations at once; 1 is right."""
    violations: list[str] = field(default_factory=list)
    rotations: int = 0
    done: Counter[str] = field(default_factory=Counter)
    """What was done to the workers."""
    labels: set[str] = field(default_factory=set)
    answering: set[str] = field(default_factory=set)
    """The accounts that a new process could use, which knew the original tokens and the store."""
    free_after_s: float = 0.0
    """From the kill of all processes until the last of the accounts answered a new one."""
    exit_status: int = -1
    complaints: list[str] = field(default_factory=list)
    """Lines of the workers' logs that nothing explains."""
    slow_store: list[str] = field(default_factory=list)
    """Lines that say that the store did not answer in time: then every process goes on alone."""
    took_s: float = 0.0

    @property
    def has_no_overlap(self) -> bool:
        return set(self.overlaps.values()) == {1}


class Chaos:
    """One simulation, over one store."""

    def __init__(self, stand: Stand, store: Mapping[str, str], *, seed: str) -> None:
        self.report = Report(labels={account.label for account in stand.accounts})
        self._stand = stand
        self._store = Settings.from_env(store).store
        self._chance = random.Random(seed)
        self._left = iter(range(REQUESTS))
        self._kills_are_done = asyncio.Event()
        self._began_at = time.monotonic()
        self._reading: Counter[str] = Counter()
        """By the worker: answers that have begun to come."""

    async def run(self) -> Report:
        async with asyncio.TaskGroup() as background:
            expiry = background.create_task(self._expire())
            async with asyncio.TaskGroup() as foreground:
                foreground.create_task(self._disturb())
                for worker in CLIENTS_EACH * self._stand.workers:
                    foreground.create_task(self._call(worker))
            expiry.cancel()
        await self._end_all_at_once()
        await self._look_back()
        return self.report

    # The callers

    async def _call(self, worker: Worker) -> None:
        for number in self._left:
            await self._until(number * SPREAD_S / REQUESTS)
            if number >= REQUESTS - LAST_REQUESTS:
                await self._kills_are_done.wait()
            question = Question(
                f"request-{number}",
                chars=self._chance.randint(1, 900),
                seed=self._chance.randint(1, 8),
                step=self._chance.choice([30, 60]),
                is_stream=self._chance.random() < 0.7,
            )
            outcome = Outcome(question, worker.name, time.monotonic())
            self.report.outcomes.append(outcome)
            try:
                outcome.answer = await self._ask(worker, question.body)
            except Broken as error:
                outcome.said = str(error)
            finally:
                outcome.ended_at = time.monotonic()

    async def _ask(self, worker: Worker, body: dict[str, object]) -> Answer:
        has_begun = False

        def note(data: bytes) -> None:
            nonlocal has_begun
            if not has_begun and b'"content":"' in data:
                has_begun = True
                self._reading[worker.name] += 1

        try:
            return await ask(worker.port, body, timeout_s=ANSWER_TIMEOUT_S, on_data=note)
        finally:
            self._reading[worker.name] -= has_begun

    # What is done to the workers

    async def _disturb(self) -> None:
        """The schedule. Who is killed or stopped may hold accounts, which then serve nobody for a while."""
        sleeper, *others = self._chance.sample(self._stand.workers, WORKERS)
        await self._until(SETTLED_S + 1)
        await self._kill_in_mid_refresh()  # while every account is in use: it needs one that somebody uses
        await self._kill_in_mid_answer(others)
        long_pause = asyncio.create_task(self._pause(sleeper, LONG_PAUSE_S))
        await self._kill_in_mid_answer(others)
        self._kills_are_done.set()
        for at_s in (12.0, 14.0, 30.0, 46.0):
            await self._until(at_s)
            await self._pause(self._chance.choice(others), self._chance.uniform(0.1, 1.5))
        await long_pause

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(0.5, 1.5) * EXPIRE_EVERY_S)
            if (uid := await self._settled_account()) is not None:
                await self._stand.simulator.expire(uid)

    async def _settled_account(self) -> str | None:
        """Choose an account whose last rotation is over for all: no upstream ends a token at its birth."""
        state, before = await self._stand.simulator.state(), time.time() - SETTLED_S
        settled = [
            account["uid"]
            for account in state["accounts"]
            if account["rotation_is_used"] and account["rotated_at"] < before and account["chats"]
        ]
        return self._chance.choice(settled) if settled else None

    async def _pause(self, worker: Worker, for_s: float) -> None:
        await self._freeze(worker)
        try:
            await asyncio.sleep(for_s)
        finally:
            worker.resume()
        self.report.done["long pause" if for_s > LEASE_TTL_S else "short pause"] += 1

    async def _kill_in_mid_answer(self, workers: list[Worker]) -> None:
        def answering() -> list[Worker]:
            return [worker for worker in workers if self._reading[worker.name]]

        while True:
            await eventually(answering, 2 * LEASE_TTL_S, "one of them is in mid-answer")
            worker = self._chance.choice(answering())
            await self._freeze(worker)
            if worker in answering():
                break
            worker.resume()
        await self._kill(worker, "killed in mid-answer")

    async def _kill_in_mid_refresh(self) -> None:
        """Kill who has just asked the upstream to rotate; the upstream breaks off, and has not done it."""
        simulator = self._stand.simulator
        while (uid := await self._settled_account()) is None:
            pass
        await simulator.tell("fail", path_suffix="user/refresh", uid=uid, delay_s=5.0, disconnect=True)
        await simulator.expire(uid)
        agent = await simulator.holds_back("user/refresh", uid, 2 * LEASE_TTL_S)
        [worker] = [worker for worker in self._stand.workers if is_named_by(worker, agent)]
        await self._freeze(worker, except_for=uid)
        await self._kill(worker, "killed in mid-refresh")

    async def _kill(self, worker: Worker, how: str) -> None:
        worker.kill()
        worker.start_again()
        self.report.done[how] += 1
        await worker.first_line()

    async def _freeze(self, *workers: Worker, except_for: str = "") -> None:
        """Stop them when all that they know of rotations is in the store, and the store is free."""
        give_up_at = time.monotonic() + 2 * LEASE_TTL_S
        while True:
            for worker in workers:
                worker.pause()
            if await self._all_is_kept(except_for):
                return
            for worker in workers:
                worker.resume()
            assert time.monotonic() < give_up_at, "no moment came at which nothing would be lost"
            await asyncio.sleep(self._chance.uniform(0.01, 0.1))

    async def _all_is_kept(self, except_for: str) -> bool:
        await self._stand.simulator.state()  # what was sent before has been read when this is answered
        state = await self._stand.simulator.state()
        rotating = {call["uid"] for call in state["held_back"] if call["path"].endswith("user/refresh")}
        is_used = all(account["rotation_is_used"] for account in state["accounts"])
        return is_used and rotating <= {except_for} and await self._store_is_free()

    async def _store_is_free(self) -> bool:
        """Whether no process was stopped within a transaction: it would lock everybody else out."""
        store = open_store(self._store)
        try:
            async with asyncio.timeout(1.0):
                await store.put("chaos", "is here", ttl_s=60.0)
        except TimeoutError:
            return False
        finally:
            await store.close()
        return True

    # The end

    async def _end_all_at_once(self) -> None:
        """Kill every process while accounts are in use; a new one has to find them all again."""
        body = chat_body("[scene:slow first=0.05 gap=0.2 count=500]", stream=True)
        using = self._stand.workers[:ACCOUNTS]
        streams = [asyncio.create_task(self._ask(worker, body)) for worker in using]
        try:
            await eventually(
                lambda: any(self._reading[worker.name] for worker in using), 2 * LEASE_TTL_S, "one is in use"
            )
            await self._freeze(*self._stand.workers)
            for worker in self._stand.workers:
                worker.kill()
                self.report.done["killed at the end"] += 1
            killed_at = time.monotonic()
        finally:
            for stream in streams:
                stream.cancel()
            await asyncio.gather(*streams, return_exceptions=True)
        for account in self._stand.accounts:
            await self._stand.simulator.expire(account.uid)
        await self._start_anew(killed_at)

    async def _start_anew(self, killed_at: float) -> None:
        report = self.report
        with self._stand.worker("newcomer") as newcomer:
            await newcomer.first_line()
            body = chat_body("[scene:slow first=0.2 gap=0.02 count=5]")
            while report.answering != report.labels and time.monotonic() < killed_at + ACCOUNT_WAIT_S:
                answer = await ask(newcomer.port, body, timeout_s=ANSWER_TIMEOUT_S)
                assert answer.ended_well, answer.summary()
                report.answering.add(answer.account)
            report.free_after_s = time.monotonic() - killed_at
            report.exit_status = await newcomer.end()

    async def _look_back(self) -> None:
        report, state = self.report, await self._stand.simulator.state()
        killed_at = {worker.name: worker.killed_at for worker in self._stand.workers}
        for outcome in report.outcomes:
            if outcome.is_right:
                report.answered += 1
            elif outcome.was_killed(killed_at[outcome.worker]):
                report.lost.append(outcome)
            else:
                report.unexplained.append(outcome)
        asked = Counter(await self._stand.simulator.prompts())
        report.asked_twice = {prompt: n for prompt, n in asked.items() if n > 1 and "request-" in prompt}
        report.overlaps = await self._stand.overlaps()
        report.rotations = sum(account["refresh_count"] for account in state["accounts"])
        report.violations = state["violations"]
        lines = [line for log in self._stand.gateway_logs() for line in _lines(log)]
        report.complaints = [line for line in lines if _is_complaint(line)]
        report.slow_store = [line for line in lines if "going on within this process" in line]
        report.took_s = time.monotonic() - self._began_at

    async def _until(self, at_s: float) -> None:
        """Wait for a time of the schedule, counted from the beginning."""
        await asyncio.sleep(max(0.0, self._began_at + at_s - time.monotonic()))


async def simulate(store: Mapping[str, str], folder: Path, *, seed: str) -> Report:
    async with open_stand(store, folder, accounts=ACCOUNTS, workers=WORKERS, pace_s=PACE_S) as stand:
        async with one_at_a_time():
            for worker in stand.workers:  # the first answer has imports and connections to wait for
                await ask(worker.port, chat_body("[scene:text chars=10]"), timeout_s=ANSWER_TIMEOUT_S)
        return await Chaos(stand, store, seed=seed).run()


def _lines(log: Path) -> Iterator[str]:
    for line in log.read_text(errors="replace").splitlines():
        yield f"{log.name}: {line}"


def _is_complaint(line: str) -> bool:
    """Whether it is what no gateway should have to say, whatever is done to it."""
    with suppress(ValueError):
        return json.loads(line.partition(": ")[2])["level"] not in {"INFO", "WARNING"}
    return True
