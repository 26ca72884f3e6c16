"""Processes that are held up at the one place where it matters, each a story of its own; over sqlite."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.patience import LAST_LOOK_S
from lib.store.circuit import OPERATION_TIMEOUT_S
from lib.store.redis_commands import ALTER
from lib.upstreams.chatglm.wire.client import CALL_TIMEOUT_S
from tests.support.client import chat_body
from tests.support.waiting import eventually
from tests.system.processes import stores
from tests.system.processes.asking import Answer, Broken, ask
from tests.system.processes.others_redis import WithholdingRedis
from tests.system.processes.programs import Worker
from tests.system.processes.stand import SimulatedAccount, Stand, open_stand
from tests.unit.store.upstash_double import running_upstash

TIMEOUT_S = 200.0
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
LONG_STREAM = "[scene:slow first=0.1 gap=0.1 count=60]"
"""Six seconds: whoever would take the account in them would be seen."""


Story = Callable[[Path], Coroutine[Any, Any, "Told"]]


@dataclass
class Told:
    """What a story ends with."""

    answers: dict[str, Answer]
    overlaps: dict[str, int]
    violations: list[str]
    seconds: float = 0.0


class Caller:
    """A request that was sent, and the moment of its first words."""

    def __init__(self, worker: Worker, body: object) -> None:
        self.has_begun = False
        self._task = asyncio.create_task(ask(worker.port, body, timeout_s=TIMEOUT_S, on_data=self._note))

    def _note(self, data: bytes) -> None:
        self.has_begun = self.has_begun or b'"content":"' in data

    async def first_words(self) -> None:
        await eventually(lambda: self.has_begun or self._task.done(), TIMEOUT_S, "an answer begins")
        assert self.has_begun, self._task

    async def answer(self) -> Answer:
        return await self._task

    async def is_broken(self) -> bool:
        try:
            await self._task
        except Broken:
            return True
        return False


def _open(folder: Path, *, accounts: int, workers: int) -> AbstractAsyncContextManager[Stand]:
    store = {"STORE_URL": f"sqlite:///{folder / 'state.db'}"}
    return open_stand(store, folder, accounts=accounts, workers=workers)


async def held_up_before_asking(folder: Path) -> Told:
    """A process has an account, uploads a picture, and is stopped for longer than its lease lives."""
    async with _open(folder, accounts=1, workers=3) as stand:
        first, second, _ = stand.workers
        [account] = stand.accounts
        await ask(second.port, _short(), timeout_s=TIMEOUT_S)
        upload = {"path_suffix": "chat_upload", "uid": account.uid, "delay_s": 1.0}
        await stand.simulator.tell("fail", **upload)
        held_up = Caller(first, _with_picture("[scene:text chars=300]"))
        await stand.simulator.holds_back("chat_upload", account.uid)
        return await _told_where_a_successor_came(stand, held_up)


async def held_up_in_mid_answer(folder: Path) -> Told:
    """A process is stopped in mid-answer for longer than its lease lives; the upstream has long finished."""
    async with _open(folder, accounts=1, workers=3) as stand:
        first = stand.workers[0]
        held_up = Caller(first, chat_body("[scene:slow first=0.1 gap=0.1 count=20]", stream=True))
        await held_up.first_words()
        return await _told_where_a_successor_came(stand, held_up)


async def _told_where_a_successor_came(stand: Stand, held_up: Caller) -> Told:
    """Stop the first process, which is asking, until the second one has its account; a third one waits."""
    first, second, third = stand.workers
    first.pause()
    successor = Caller(second, chat_body(LONG_STREAM, stream=True))
    await successor.first_words()
    first.resume()
    late = Caller(third, _short())
    return await _told(stand, held_up=held_up, successor=successor, third=late)


async def stopped_in_mid_store_call(folder: Path) -> Told:
    """A process asks the store for an account that another one has, and is stopped before it is answered."""
    with stores.redis_server(folder) as server:
        redis = WithholdingRedis(server.port)
        with running_upstash(redis) as double:
            async with open_stand(double.environ, folder, accounts=1, workers=2) as stand:
                return await _stop_in_mid_store_call(stand, redis)


async def _stop_in_mid_store_call(stand: Stand, redis: WithholdingRedis) -> Told:
    first, second = stand.workers
    await ask(first.port, _short(), timeout_s=TIMEOUT_S)
    holder = Caller(second, chat_body("[scene:slow first=0.1 gap=0.1 count=150]", stream=True))
    await holder.first_words()
    redis.withhold(ALTER)  # a step on a record: the lease is the first
    held_up = Caller(first, _short())
    await eventually(redis.withholds.is_set, TIMEOUT_S, "the store is asked for the account")
    first.pause()
    await asyncio.sleep(OPERATION_TIMEOUT_S + LAST_LOOK_S + 3)
    first.resume()
    return await _told(stand, holder=holder, held_up=held_up)


async def killed_in_mid_answer(folder: Path) -> Told:
    """A process is killed in mid-answer; `seconds` is how long its account serves nobody."""
    async with _open(folder, accounts=1, workers=2) as stand:
        first, second = stand.workers
        dying = Caller(first, chat_body(LONG_STREAM, stream=True))
        await dying.first_words()
        first.kill()
        killed_at = time.monotonic()
        assert await dying.is_broken()
        told = await _told(stand, next=Caller(second, _short()))
        told.seconds = time.monotonic() - killed_at
        return told


async def stopped_in_mid_refresh(folder: Path) -> Told:
    """A process is stopped between the upstream's rotation and its answer, for longer than it would wait."""
    async with _open(folder, accounts=1, workers=2) as stand:
        first, second = stand.workers
        [account] = stand.accounts
        await stand.simulator.tell("fail", path_suffix="user/refresh", uid=account.uid, late_s=1.0)
        held_up = Caller(first, _short())
        await stand.simulator.holds_back("user/refresh", account.uid)
        first.pause()
        other = Caller(second, _short())
        await asyncio.sleep(CALL_TIMEOUT_S + 3)
        first.resume()
        return await _told(stand, held_up=held_up, other=other)


async def tokens_ended_meanwhile(folder: Path) -> Told:
    """The upstream ends an access token twice while a process has nothing to do: it knows neither new one."""
    async with _open(folder, accounts=1, workers=2) as stand:
        first, second = stand.workers
        [account] = stand.accounts
        answers = {}
        for name, worker in (("first", first), ("second", second)):
            answers[name] = await ask(worker.port, _short(), timeout_s=TIMEOUT_S)
            await stand.simulator.has_no_conversation()
            await stand.simulator.expire(account.uid)
        told = await _told(stand, again=Caller(first, _short()))
        told.answers |= answers
        return told


async def killed_after_the_rotation(folder: Path) -> Told:
    """The one loss that nobody can prevent: killed between the upstream's rotation and its answer."""
    async with _open(folder, accounts=2, workers=1) as stand:
        [knows_both] = stand.workers
        lost, kept = stand.accounts
        await _lose(stand, lost)
        answers = {}
        with stand.worker("only-the-lost", [lost.token]) as alone:
            await alone.first_line()
            asked_at = time.monotonic()
            answers["of the lost account"] = await ask(alone.port, _short(), timeout_s=TIMEOUT_S)
            took_s = time.monotonic() - asked_at
        answers["of both accounts"] = await ask(knows_both.port, _short(), timeout_s=TIMEOUT_S)
        assert answers["of both accounts"].account in ("", kept.label)
        token = (await stand.simulator.tell(f"accounts/{lost.uid}/log_in"))["refresh_token"]
        with stand.worker("logged-in-again", [token]) as again:
            answers["after a new login"] = await ask(again.port, _short(), timeout_s=TIMEOUT_S)
        told = await _told(stand)
        told.answers |= answers
        told.seconds = took_s
        return told


async def _lose(stand: Stand, account: SimulatedAccount) -> None:
    await stand.simulator.tell("fail", path_suffix="user/refresh", uid=account.uid, late_s=10.0)
    with stand.worker("dying", [account.token]) as dying:
        caller = Caller(dying, _short())
        await stand.simulator.holds_back("user/refresh", account.uid)
    assert await caller.is_broken()


async def _told(stand: Stand, **callers: Caller) -> Told:
    answers = {name: await caller.answer() for name, caller in callers.items()}
    state = await stand.simulator.state()
    return Told(answers, await stand.overlaps(), state["violations"])


def _short() -> dict[str, object]:
    return chat_body("[scene:text chars=20]")


def _with_picture(prompt: str) -> dict[str, object]:
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    content = [{"type": "text", "text": prompt}, picture]
    return {"model": "glm-5.3-flash", "messages": [{"role": "user", "content": content}]}
