from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
import pytest

from lib.chat.answer import Answer as Accumulated
from lib.chat.caller import Caller
from lib.chat.events import Failed, Finished, ReasoningDelta, ReplyEvent, Started, TextDelta
from lib.chat.request import ChatRequest, Message, TextPart
from lib.flows.chat import ShapedReply, open_reply
from lib.settings import Settings
from lib.trace import current_trace
from lib.upstreams.chatglm.clean_up import CleanUpLimits, TurnLimits
from lib.upstreams.chatglm.gateway import Gateway
from lib.upstreams.choose import ProcessServices, close_services, open_services, services_of
from lib.upstreams.interface import Call
from lib.web.chat import patience_of
from tests.conftest import SimulatedAccount, Upstream
from tests.support.waiting import eventually


def make_request(prompt: str = "Hello!", **fields: Any) -> ChatRequest:
    message = Message(role="user", parts=(TextPart(prompt),))
    return ChatRequest(**{"model": "glm-5.3-flash", "messages": (message,)} | fields)


class Flow:
    """The flows under settings that a test changes, for the accounts that it names."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.settings = Settings(base_url=upstream.base_url)
        self._clean_up = CleanUpLimits()

    def limit(self, **seconds: float) -> None:
        """Give clean-ups other limits, by the names of CleanUpLimits and TurnLimits."""
        turn = {name: value for name, value in seconds.items() if name in TurnLimits.__struct_fields__}
        whole = {name: value for name, value in seconds.items() if name not in turn}
        turn_limits = msgspec.structs.replace(self._clean_up.turn, **turn)
        self._clean_up = msgspec.structs.replace(self._clean_up, turn=turn_limits, **whole)

    def configure(self, **changes: Any) -> None:
        fields = {name: getattr(self.settings, name) for name in Settings.__struct_fields__}
        self.settings = Settings(**fields | changes)

    @property
    def gateway(self) -> Gateway:
        gateway = self.services.gateway
        gateway.clean_up = self._clean_up
        return gateway

    def open(
        self,
        accounts: Iterable[SimulatedAccount],
        prompt: str = "Hello!",
        *,
        is_owner: bool = False,
        left_s: float | None = None,
        **fields: Any,
    ) -> AbstractAsyncContextManager[ShapedReply]:
        assert self.gateway.clean_up == self._clean_up
        call = self.call_of(accounts, is_owner=is_owner, left_s=left_s)
        patience_s = patience_of(self.settings) if fields.pop("stream", False) else None
        return open_reply(make_request(prompt, **fields), call, patience_s=patience_s)

    @property
    def services(self) -> ProcessServices:
        return services_of(self.settings)

    def calling(self, caller: Caller, *, left_s: float | None = None, **more: Any) -> Call:
        deadline_at = None if left_s is None else asyncio.get_running_loop().time() + left_s
        return Call(
            services=self.services, caller=caller, trace=current_trace(), deadline_at=deadline_at, **more
        )

    def call_of(
        self, accounts: Iterable[SimulatedAccount], *, is_owner: bool = False, left_s: float | None = None
    ) -> Call:
        tokens = tuple(account.token for account in accounts)
        return self.calling(Caller(tokens, is_owner=is_owner), left_s=left_s)

    async def ask(self, accounts: Iterable[SimulatedAccount], prompt: str = "Hello!", **how: Any) -> Answer:
        """Read a reply to its end and close it."""
        async with self.open(accounts, prompt, **how) as reply:
            events = [event async for batch in reply for event in batch]
            return Answer(events, reply.started)

    def leases(self) -> set[str]:
        made = open_services(asyncio.get_running_loop())
        return {label for services in made for label in services.gateway.pool._line._taken}


class Answer:
    def __init__(self, events: list[ReplyEvent], started: Started) -> None:
        assert events[0] == started, "the first event names what the headers name"
        self.started = started
        self.events = events[1:]
        self.id = started.id
        self.account_label = started.account

    @property
    def streamed(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))

    @property
    def text(self) -> str:
        """The text that an accumulating client has in the end."""
        return Accumulated(self.events).text

    @property
    def reasoning(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, ReasoningDelta))

    @property
    def ending(self) -> Finished | Failed:
        ending = self.events[-1]
        assert isinstance(ending, Finished | Failed)
        assert not any(isinstance(event, Finished | Failed) for event in self.events[:-1])
        return ending

    @property
    def reason(self) -> str:
        assert isinstance(self.ending, Finished), self.ending
        return self.ending.reason


def our_tasks() -> set[str]:
    """The tasks of this loop that are not the test runner's."""
    coroutines = [task.get_coro() for task in asyncio.all_tasks()]
    codes = [getattr(coroutine, "cr_code", None) for coroutine in coroutines]
    return {code.co_qualname for code in codes if code is not None and "anyio" not in code.co_filename}


@pytest.fixture
async def flow(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Flow]:
    """Give the flows; hold at the end that no lease, no task and no generation is left."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    flow = Flow(upstream)
    yield flow
    try:
        await eventually(lambda: not flow.leases(), what="every lease is given back")
        await eventually(lambda: not our_tasks(), what=f"no task is left of {our_tasks()}")
    finally:
        await close_services()


@pytest.fixture
def accounts(upstream: Upstream) -> list[SimulatedAccount]:
    return [upstream.add_account(nickname=name) for name in ("first", "second", "third")]
