"""Many callers of one gateway at once, each with one stream after another, and what they have seen."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hosts.box.listening import allow_open_files
from tests.system.processes.asking import Broken, Question, ask
from tests.system.processes.programs import Program, Worker
from tests.system.processes.stand import Stand, open_stand

ANSWER_TIMEOUT_S = 300.0
SAMPLE_EVERY_S = 0.5


@asynccontextmanager
async def open_gateway(
    folder: Path, *, accounts: int, pace_s: float = 0.0
) -> AsyncIterator[tuple[Stand, Worker]]:
    """Start one gateway as scripts/serve runs it, with its store, and a simulator; both are processes."""
    allow_open_files()  # each stream is a connection
    store = {"STORE_URL": f"sqlite:///{folder / 'state.db'}"}
    async with open_stand(store, folder, accounts=accounts, workers=1, pace_s=pace_s) as stand:
        yield stand, stand.workers[0]


@dataclass(frozen=True)
class Sample:
    at_s: float
    resident_bytes: int
    open_files: int


@dataclass
class Seen:
    """What a crowd has seen."""

    answered: int = 0
    received_bytes: int = 0
    failures: list[str] = field(default_factory=list)
    most_at_once: int = 0
    samples: list[Sample] = field(default_factory=list)

    def between(self, from_s: float, to_s: float) -> list[Sample]:
        return [sample for sample in self.samples if from_s <= sample.at_s <= to_s]


class Crowd:
    """So many callers; when a stream ends, its caller asks for the next one until the time is over."""

    def __init__(self, worker: Worker, *, callers: int, for_s: float, seed: int) -> None:
        self.seen = Seen()
        self._worker = worker
        self._callers = callers
        self._began_at = time.monotonic()
        self._ends_at = self._began_at + for_s
        self._numbers = itertools.count()
        self._chance = random.Random(seed)
        self._at_once = 0

    async def run(self) -> Seen:
        watching = asyncio.create_task(self._watch(self._worker))
        try:
            await asyncio.gather(*(self._call() for _ in range(self._callers)))
        finally:
            watching.cancel()
        return self.seen

    async def _call(self) -> None:
        while time.monotonic() < self._ends_at:
            question = Question(
                f"stream-{next(self._numbers)}",
                chars=self._chance.randint(1, 600),
                seed=self._chance.randint(1, 12),
                step=30,
                is_stream=True,
            )
            self._at_once += 1
            self.seen.most_at_once = max(self.seen.most_at_once, self._at_once)
            try:
                await self._ask(question)
            finally:
                self._at_once -= 1

    async def _ask(self, question: Question) -> None:
        try:
            answer = await ask(self._worker.port, question.body, timeout_s=ANSWER_TIMEOUT_S)
        except (Broken, TimeoutError) as error:
            self.seen.failures.append(f"{question.name}: {error!r}")
            return
        self.seen.received_bytes += len(answer.raw)
        if question.is_answered_by(answer):
            self.seen.answered += 1
        else:
            self.seen.failures.append(f"{question.name}: {answer.summary()}")

    async def _watch(self, program: Program) -> None:
        while True:
            at_s = time.monotonic() - self._began_at
            self.seen.samples.append(Sample(at_s, program.resident_bytes, program.open_files))
            await asyncio.sleep(SAMPLE_EVERY_S)
