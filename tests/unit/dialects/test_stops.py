"""The limits of stop sequences hold for every dialect."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from lib.dialects import anthropic_request, gemini_request, openai_chat_request, openai_completions
from lib.dialects.interface import Address
from lib.dialects.stops import MAX_CHARS, MAX_SEQUENCES
from lib.errors import InvalidRequest

Read = Callable[[object], tuple[str, ...]]

OPENAI = {"messages": [{"role": "user", "content": "a"}]}
GEMINI = Address({"model": "m", "name": "m", "action": "generateContent"})


def body(**fields: object) -> bytes:
    return msgspec.json.encode(fields)


def of_chat(stop: object) -> tuple[str, ...]:
    return openai_chat_request.parse(body(**OPENAI, stop=stop), Address()).chat.stop


def of_completions(stop: object) -> tuple[str, ...]:
    return openai_completions.parse(body(prompt="a", stop=stop), Address()).chat.stop


def of_anthropic(stop: object) -> tuple[str, ...]:
    return anthropic_request.parse(
        body(**OPENAI, model="m", max_tokens=9, stop_sequences=stop), Address()
    ).chat.stop


def of_gemini(stop: object) -> tuple[str, ...]:
    asked = body(contents=[{"parts": [{"text": "a"}]}], generationConfig={"stopSequences": stop})
    return gemini_request.parse(asked, GEMINI).chat.stop


DIALECTS: dict[str, tuple[Read, str]] = {
    "chat": (of_chat, "stop"),
    "completions": (of_completions, "stop"),
    "anthropic": (of_anthropic, "stop_sequences"),
    "gemini": (of_gemini, "generationConfig.stopSequences"),
}


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("stop", [["a"] * (MAX_SEQUENCES + 1), ["a", "b" * (MAX_CHARS + 1)]])
def test_too_many_or_too_long_sequences_are_refused(name: str, stop: list[str]) -> None:
    read, param = DIALECTS[name]
    with pytest.raises(InvalidRequest) as caught:
        read(stop)
    assert caught.value.param == param
    assert "at most" in caught.value.message
    assert len(caught.value.message) < 150


@pytest.mark.parametrize("name", DIALECTS)
def test_as_many_and_as_long_as_allowed_are_taken(name: str) -> None:
    read, _ = DIALECTS[name]
    stop = ["b" * MAX_CHARS] * MAX_SEQUENCES
    assert read([*stop, ""]) == tuple(stop)
