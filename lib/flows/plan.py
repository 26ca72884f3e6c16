"""Deciding which stages make up for an upstream's missing abilities."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import msgspec

from lib.chat.request import ChatRequest
from lib.chat.stages.interface import Stage
from lib.chat.stages.meter import Meter
from lib.chat.stages.pipeline import Pipeline
from lib.chat.stages.silence import WithoutReasoning, WithoutSources
from lib.chat.stages.stop import StopSearch
from lib.chat.usage import prompt_tokens
from lib.errors import InvalidRequest
from lib.upstreams.interface import Abilities


class Planned(msgspec.Struct, frozen=True):
    """A chat as one upstream should see it, and the stages between that upstream and the client."""

    chat: ChatRequest
    stages: Stage


def plan(chat: ChatRequest, abilities: Abilities) -> Planned:
    """Plan a chat for an upstream with these abilities. The stages serve one reply."""
    if chat.expects_calls and not abilities.tools:
        raise InvalidRequest("Tools cannot be called yet.", code="unsupported_parameter", param="tools")
    if chat.json_format is not None and not abilities.json_schema:
        raise InvalidRequest(
            "JSON cannot be promised yet.", code="unsupported_parameter", param="response_format"
        )
    return Planned(chat, Pipeline(_stages(chat, abilities)))


def _stages(chat: ChatRequest, abilities: Abilities) -> Iterator[Stage]:
    if abilities.silent:
        yield WithoutSources()
    if len(chat.stop) > abilities.stop:
        yield StopSearch(chat.stop)
    max_tokens = None if abilities.max_tokens else chat.max_tokens
    if not abilities.usage or max_tokens is not None:
        # The count of the prompt holds no reference to the reply, which would keep it until the next
        # full garbage collection.
        yield Meter(max_tokens=max_tokens, prompt_tokens=partial(prompt_tokens, chat.messages))
    if abilities.silent:
        yield WithoutReasoning()
