"""Deciding which stages make up for an upstream's missing abilities."""

from __future__ import annotations

import secrets
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import msgspec

from lib.chat.request import ChatRequest
from lib.chat.stages.interface import Stage
from lib.chat.stages.meter import Meter
from lib.chat.stages.pipeline import Pipeline
from lib.chat.stages.silence import WithoutReasoning, WithoutSources
from lib.chat.stages.stop import StopSearch
from lib.chat.steps import at_once
from lib.chat.usage import PromptCount
from lib.settings import ToolSyntax
from lib.upstreams.interface import Abilities

if TYPE_CHECKING:
    from lib.tools.toolbox import Toolbox


class Planned(msgspec.Struct, frozen=True):
    """A chat as one upstream should see it, and the stages between that upstream and the client."""

    chat: ChatRequest
    stages: Stage
    prompt: PromptCount | None = None
    """The count that the stages need at the end of the reply."""


def plan(
    chat: ChatRequest, abilities: Abilities, *, syntax: ToolSyntax = "blocks", is_streamed: bool = False
) -> Planned:
    """Plan a chat for an upstream with these abilities. The stages serve one reply."""
    return at_once(planning(chat, abilities, syntax=syntax, is_streamed=is_streamed))


def planning(
    chat: ChatRequest, abilities: Abilities, *, syntax: ToolSyntax = "blocks", is_streamed: bool = False
) -> Generator[int, None, Planned]:
    """Plan a chat step by step: a long history of calls takes seconds.

    `syntax` is the form in which the model is taught to call tools: `blocks`, `calls` or `dsml`.
    """
    seen = chat
    before: Iterator[Stage] = iter(())
    if abilities.tools and _needs_words(chat):
        seen, before = _natively(chat, abilities, is_streamed=is_streamed)
    elif _needs_words(chat):
        seen, box = yield from _in_words(chat, syntax)
        before = _readers(chat, box, is_streamed=is_streamed)
    prompt = PromptCount(seen.messages, seen.closing)
    return Planned(
        seen, Pipeline((*before, *_limits(seen, abilities, prompt))), None if abilities.usage else prompt
    )


def tells_calls(chat: ChatRequest, abilities: Abilities) -> bool:
    """Tell whether the plan must write earlier calls or results as text, which is work."""
    return not abilities.tools and _has_calls(chat)


def _has_calls(chat: ChatRequest) -> bool:
    return any(message.tool_calls or message.role == "tool" for message in chat.messages)


def _needs_words(chat: ChatRequest) -> bool:
    """Tell whether the prompt must say what the upstream's request has no field for."""
    return bool(chat.tools) or chat.json_format is not None or _has_calls(chat)


def _in_words(chat: ChatRequest, syntax: ToolSyntax) -> Generator[int, None, tuple[ChatRequest, Toolbox]]:
    """Describe tools, calls, results and the form of the answer in the prompt."""
    # Imported here: a chat without tools does not pay for them at its cold start.
    from lib.tools.prompt import describing

    described = yield from describing(chat, syntax=syntax, new_from=_new_from(chat))
    seen = msgspec.structs.replace(chat, messages=described.messages, closing=described.closing())
    return seen, described.toolbox


def _natively(
    chat: ChatRequest, abilities: Abilities, *, is_streamed: bool
) -> tuple[ChatRequest, Iterator[Stage]]:
    """Leave tools to the upstream, and say in words only the things that it has no field for."""
    from lib.tools.native import prepare

    native = prepare(chat, has_json_schema=abilities.json_schema)
    return native.chat, _native_readers(chat, native.box, is_streamed=is_streamed)


def _native_readers(chat: ChatRequest, box: Toolbox, *, is_streamed: bool) -> Iterator[Stage]:
    from lib.tools.json_reader import JsonReader
    from lib.tools.native import NativeCalls

    if box.is_on:
        yield NativeCalls(box)
    if chat.json_format is not None:
        yield JsonReader(chat.json_format, is_streamed=is_streamed)


def _new_from(chat: ChatRequest) -> int:
    """Return the first message that the upstream's conversation does not know."""
    if not chat.conversation_id:
        return 0
    known = max(
        (count for count, message in enumerate(chat.messages, 1) if message.role == "assistant"), default=0
    )
    return known if known < len(chat.messages) else 0


def _readers(chat: ChatRequest, box: Toolbox, *, is_streamed: bool) -> Iterator[Stage]:
    from lib.tools.json_reader import JsonReader
    from lib.tools.reader import ToolReader

    if box.is_on:
        yield ToolReader(box, new_id=_new_call_id)
    if chat.json_format is not None:
        yield JsonReader(chat.json_format, is_streamed=is_streamed)


def _new_call_id() -> str:
    return f"call_{secrets.token_hex(12)}"


def _limits(chat: ChatRequest, abilities: Abilities, prompt: PromptCount) -> Iterator[Stage]:
    if abilities.silent:
        yield WithoutSources()
    if len(chat.stop) > abilities.stop:
        yield StopSearch(chat.stop)
    max_tokens = None if abilities.max_tokens else chat.max_tokens
    # The count of the prompt holds no reference to the reply, which would keep it until the next
    # full garbage collection. An upstream's own count of a reply that a stage cuts short never comes.
    yield Meter(max_tokens=max_tokens, prompt_tokens=lambda: prompt.total)
    if abilities.silent:
        yield WithoutReasoning()
