from __future__ import annotations

from typing import Any

import pytest

from lib.chat.request import ChatRequest, FilePart, ImagePart, Message, Part, TextPart, ToolCall
from lib.errors import InvalidRequest
from lib.upstreams.official.wire.messages import NO_RESULT, write_messages
from lib.upstreams.official.wire.models import model_named

TEXT, SEEING = model_named("glm-4.6"), model_named("glm-4.6v")
CALL = ToolCall("c1", "f", '{"a":1}')
WIRE_CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}


def said(role: Any, words: str = "", *more: Part, **fields: Any) -> Message:
    parts = (TextPart(words),) if words else ()
    return Message(role, (*parts, *more), **fields)


def written(*messages: Message, model: Any = TEXT, closing: str = "") -> list[dict[str, Any]]:
    return write_messages(ChatRequest(model="x", messages=messages, closing=closing), model)


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def test_the_closing_words_are_the_systems_last_ones() -> None:
    assert written(said("user", "Hi"), said("system", "Be brief."), closing="# Output") == [
        {"role": "system", "content": "Be brief.\n\n# Output"},
        user("Hi"),
    ]


def test_a_chat_without_a_users_word_gets_one() -> None:
    assert written(said("system", "Say hello.")) == [user("Say hello.")]
    assert written(said("system", "S"), said("assistant", "A"))[-1]["role"] == "user"
    assert written(said("assistant", "A"))[-1]["role"] == "user"


def test_a_result_follows_its_call_at_once_wherever_it_stands() -> None:
    other = ToolCall("c2", "g", "")
    messages = written(
        said("user", "Go"),
        said("assistant", "", tool_calls=(CALL, other), reasoning="I think."),
        said("tool", "two", tool_call_id="c2"),
        said("user", "And"),
        said("tool", "one", tool_call_id="c1", is_error=True),
        said("assistant", "Done.", reasoning="unneeded"),
    )
    assert messages == [
        user("Go"),
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "I think.",
            "tool_calls": [
                WIRE_CALL,
                {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "Error: one"},
        {"role": "tool", "tool_call_id": "c2", "content": "two"},
        user("And"),
        {"role": "assistant", "content": "Done."},
    ]


def test_a_call_without_a_result_and_a_result_without_a_call_are_told() -> None:
    messages = written(
        said("tool", "lost", tool_call_id="c9", name="g"),
        said("assistant", "", tool_calls=(CALL,)),
        said("tool", "twice", tool_call_id="c9"),
    )
    assert messages == [
        user("The result of g:\nlost"),
        {"role": "assistant", "content": "", "tool_calls": [WIRE_CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": NO_RESULT},
        user("The result:\ntwice"),
    ]


def test_calls_of_the_older_form_get_ids() -> None:
    old = ToolCall("", "f", "{}")
    messages = written(
        said("user", "Go"),
        said("assistant", "", tool_calls=(old,)),
        said("tool", "one", name="f"),
        said("assistant", "", tool_calls=(old,)),
        said("tool", "two", name="f"),
    )
    ids = [message["tool_calls"][0]["id"] for message in messages if "tool_calls" in message]
    assert ids == ["call_1", "call_2"]
    assert [message["tool_call_id"] for message in messages if message["role"] == "tool"] == ids


def test_two_calls_of_one_id_get_two_ids_and_each_its_result() -> None:
    again = ToolCall("c1", "g", "{}")
    messages = written(
        said("user", "Go"),
        said("assistant", "", tool_calls=(CALL, again)),
        said("tool", "one", tool_call_id="c1"),
        said("tool", "two", tool_call_id="c1"),
    )
    assert [call["id"] for call in messages[1]["tool_calls"]] == ["c1", "call_2"]
    told = [(message["tool_call_id"], message["content"]) for message in messages[2:]]
    assert told == [("c1", "one"), ("call_2", "two")]


def test_an_empty_name_is_replaced() -> None:
    messages = written(said("user", "x"), said("assistant", "", tool_calls=(ToolCall("c1", "", "{}"),)))
    assert messages[1]["tool_calls"][0]["function"]["name"] == "unknown"


def test_images_and_files_are_parts_for_a_model_that_sees() -> None:
    assert written(said("user", "What?", ImagePart("https://x/a.png")), model=SEEING) == [
        user(
            [
                {"type": "text", "text": "What?"},
                {"type": "image_url", "image_url": {"url": "https://x/a.png"}},
            ]
        )
    ]
    files = (FilePart("https://x/a.pdf"), FilePart("data:application/pdf;base64,QQ==", "b.pdf"))
    [message] = written(said("user", "", *files), model=SEEING)
    assert [part["file"] for part in message["content"]] == [
        {"file_url": "https://x/a.pdf"},
        {"file_data": "QQ==", "filename": "b.pdf"},
    ]


def test_an_image_in_a_result_is_shown_by_the_user() -> None:
    messages = written(
        said("user", "Go"),
        said("assistant", "", tool_calls=(CALL,)),
        said("tool", "seen", ImagePart("data:,x"), tool_call_id="c1"),
        model=SEEING,
    )
    assert messages[2]["content"] == "seen"
    assert messages[3]["content"][1] == {"type": "image_url", "image_url": {"url": "data:,x"}}


SHOWN = {"type": "image_url", "image_url": {"url": "data:,x"}}


def test_an_image_of_the_assistants_or_the_systems_is_shown_by_the_user() -> None:
    messages = written(
        said("system", "Be brief.", ImagePart("data:,x")),
        said("user", "Draw."),
        said("assistant", "Here.", ImagePart("data:,x")),
        said("user", "More."),
        said("developer", "", ImagePart("data:,x")),
        model=SEEING,
    )
    assert messages == [
        {"role": "system", "content": "Be brief."},
        user([{"type": "text", "text": "The system message shows:"}, SHOWN]),
        user("Draw."),
        {"role": "assistant", "content": "Here."},
        user([{"type": "text", "text": "The assistant's message shows:"}, SHOWN]),
        user("More."),
        user([{"type": "text", "text": "The system message shows:"}, SHOWN]),
    ]


def test_an_image_beside_calls_comes_after_their_results() -> None:
    messages = written(
        said("user", "Go"),
        said("assistant", "", ImagePart("data:,x"), tool_calls=(CALL,)),
        said("tool", "seen", tool_call_id="c1"),
        said("user", "And?"),
        model=SEEING,
    )
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "user", "user"]
    assert messages[3]["content"][1] == SHOWN


@pytest.mark.parametrize("role", ["system", "developer", "assistant"])
def test_an_image_of_any_role_is_refused_for_a_text_model(role: str) -> None:
    with pytest.raises(InvalidRequest, match="takes no images"):
        written(said("user", "Hi"), said(role, "x", ImagePart("data:,x")))


@pytest.mark.parametrize(
    ("attached", "model", "words"),
    [
        ((ImagePart("data:,x", "messages[0]"),), TEXT, "takes no images"),
        ((FilePart("data:,x", None, "messages[0]"),), TEXT, "takes no files"),
        ((FilePart("data:,x"), ImagePart("data:,y", "messages[0]")), SEEING, "and not both"),
    ],
)
def test_an_attachment_that_the_model_does_not_take_is_refused(
    attached: tuple[Part, ...], model: Any, words: str
) -> None:
    with pytest.raises(InvalidRequest, match=words) as caught:
        written(said("user", "What?", *attached), model=model)
    assert caught.value.param == "messages[0]"


def test_a_model_that_nobody_knows_may_see() -> None:
    assert written(said("user", "", ImagePart("data:,x")), model=model_named("glm-9"))[0]["role"] == "user"
