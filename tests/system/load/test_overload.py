"""More requests than can be served: the rest is refused at once, and those that are served do not notice."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from lib.upstreams.chatglm.accounts.pool import MAX_WAITING
from lib.web.overload import LIMITS
from tests.support.waiting import eventually
from tests.system.load.crowd import ANSWER_TIMEOUT_S, open_gateway
from tests.system.processes.asking import Answer, Question, ask
from tests.system.processes.programs import Worker

PACE_S = 0.1
"""Between two increments of 30 characters."""


@dataclass(frozen=True)
class Answered:
    question: Question
    answer: Answer
    at: float

    @property
    def is_right(self) -> bool:
        return self.question.is_answered_by(self.answer)

    def is_refused(self, status: int, code: str) -> bool:
        """Whether it is this refusal, which says when to come again."""
        wait_s = self.answer.headers.get("retry-after", "")
        is_it = self.answer.status == status and self.answer.json["error"]["code"] == code
        return is_it and wait_s.isdigit() and 1 <= int(wait_s) <= 60


class Storm:
    """Requests that are sent all at once, in the order of their numbers."""

    def __init__(self, worker: Worker, name: str, count: int, *, chars: int, is_stream: bool = True) -> None:
        self.answered: list[Answered] = []
        questions = (
            Question(f"{name}-{number}", chars, number % 8, 30, is_stream) for number in range(count)
        )
        self._tasks = [asyncio.create_task(self._ask(worker, question)) for question in questions]

    async def all(self) -> list[Answered]:
        await asyncio.gather(*self._tasks)
        return self.answered

    async def leave(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _ask(self, worker: Worker, question: Question) -> None:
        answer = await ask(worker.port, question.body, timeout_s=ANSWER_TIMEOUT_S)
        self.answered.append(Answered(question, answer, time.monotonic()))


async def test_who_would_wait_too_long_for_an_account_is_refused_at_once(tmp_path: Path) -> None:
    accounts = 4
    room = accounts * MAX_WAITING
    async with open_gateway(tmp_path, accounts=accounts, pace_s=PACE_S) as (stand, worker):
        answered = await Storm(worker, "request", room + 60, chars=150).all()
        served = [one for one in answered if one.is_right]
        refused = [one for one in answered if one.is_refused(429, "account_busy")]
        assert len(served) + len(refused) == len(answered), [one.answer.summary() for one in answered][:5]
        assert len(served) >= room
        assert refused
        assert max(one.at for one in refused) < served[len(served) // 2].at, "nobody queued to be refused"
        assert set((await stand.overlaps()).values()) == {1}


async def test_a_process_takes_on_so_much_and_no_more_and_goes_on_with_what_it_has(tmp_path: Path) -> None:
    accounts = LIMITS.max_requests // MAX_WAITING + 10  # There is room for all of them to wait.
    async with open_gateway(tmp_path, accounts=accounts, pace_s=PACE_S) as (stand, worker):
        early = Storm(worker, "early", accounts, chars=3000)
        generations = stand.simulator.active_generations
        while await generations() < accounts:
            pass
        storm = Storm(worker, "storm", LIMITS.max_requests + 200 - accounts, chars=30)
        try:
            await eventually(lambda: len(storm.answered) >= 200, ANSWER_TIMEOUT_S, "those beyond are refused")
            assert all(one.is_refused(503, "overloaded") or one.is_right for one in storm.answered)
            assert sum(one.is_refused(503, "overloaded") for one in storm.answered) >= 150
            assert [one.answer.summary() for one in await early.all() if not one.is_right] == []
        finally:
            await storm.leave()
            await early.leave()
        while await generations():
            pass
        again = await Storm(worker, "again", accounts, chars=30, is_stream=False).all()
        assert [one.answer.summary() for one in again if not one.is_right] == []
        assert set((await stand.overlaps()).values()) == {1}
        assert (await stand.simulator.state())["violations"] == []
