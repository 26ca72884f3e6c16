from __future__ import annotations

from typing import Any

import pytest

from lib.chat.request import ChatRequest, FilePart, JsonFormat, Message, TextPart, Tool, ToolCall
from lib.chat.size import MAX_CALLS, MAX_MESSAGES, MAX_PROMPT_CHARS, require_room
from lib.errors import InvalidRequest

HALF = "a" * (MAX_PROMPT_CHARS // 2)


def chat(**fields: Any) -> ChatRequest:
    return ChatRequest(**{"model": "", "messages": (Message("user", (TextPart(HALF),)),), **fields})


NESTED = {"type": "object", "properties": {"a": {"enum": ["b", {"c": HALF}]}}}
TOO_LONG = {
    "texts": chat(messages=(Message("user", (TextPart(HALF), TextPart(HALF + "a"))),)),
    "arguments": chat(messages=(Message("assistant", (TextPart(HALF),), (ToolCall("i", "n", HALF),)),)),
    "a name": chat(messages=(Message("user", (TextPart(HALF),), name=HALF + "a"),)),
    "a tool": chat(tools=(Tool(name="t", description=HALF),)),
    "a tool's schema": chat(tools=(Tool(name="t", schema=NESTED),)),
    "the answer's schema": chat(json_format=JsonFormat(schema=NESTED)),
}


@pytest.mark.parametrize("where", TOO_LONG)
def test_a_prompt_that_no_model_takes_is_refused(where: str) -> None:
    with pytest.raises(InvalidRequest, match=r"at most 4000000 characters .* got 40000\d\d") as caught:
        require_room(TOO_LONG[where])
    assert (caught.value.code, caught.value.status) == ("context_length_exceeded", 400)


def test_too_many_messages_are_refused() -> None:
    message = Message("user", (TextPart("a"),))
    require_room(chat(messages=(message,) * MAX_MESSAGES))
    with pytest.raises(InvalidRequest, match="at most 20000 messages, got 20001"):
        require_room(chat(messages=(message,) * (MAX_MESSAGES + 1)))


def test_the_longest_prompt_has_room_and_a_file_counts_nothing() -> None:
    file = FilePart("data:text/plain;base64," + HALF)
    require_room(chat(messages=(Message("user", (TextPart(HALF), TextPart(HALF), file)),)))


def test_too_many_calls_in_one_message_are_refused() -> None:
    calls = (ToolCall("i", "n", "{}"),) * MAX_CALLS
    require_room(chat(messages=(Message("assistant", tool_calls=calls),) * 2))
    with pytest.raises(InvalidRequest, match="at most 512 tool calls in one message, got 513") as caught:
        require_room(chat(messages=(Message("assistant", tool_calls=(*calls, calls[0])),)))
    assert (caught.value.status, caught.value.param) == (400, "messages")
