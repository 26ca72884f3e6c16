"""Neutral events to Google's answers: exact bytes, both forms of a stream, streamed as not streamed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib import sse
from lib.chat.answer import Answer
from lib.chat.events import (
    Citation,
    Failed,
    Finished,
    FinishReason,
    ImageMade,
    InterceptedCall,
    Notice,
    ReasoningDelta,
    ReplyEvent,
    Rewritten,
    Started,
    TextDelta,
    ToolCallDelta,
    Usage,
    Withdrawn,
)
from lib.dialects.gemini import count, error_body, parse, render, renderer
from lib.dialects.gemini_request import AskedContent
from lib.dialects.interface import Address, Rendering
from lib.errors import UpstreamProtocolError, UpstreamTimeout

HOW = Rendering(created=1790000000, model="glm-5.3")
STARTED = Started("66f0c1", "glm-5.3-flash", "0a1b2c3d")
USAGE = Usage(prompt_tokens=5, completion_tokens=7, reasoning_tokens=2)
TOLD = (
    '"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":5,"thoughtsTokenCount":2,'
    '"totalTokenCount":12}'
)
TAIL = '"modelVersion":"glm-5.3","responseId":"66f0c1"}'
PAGE = Citation(1, "https://a.example/", "Página")
ASIDE = Citation(2, "https://b.example/", "B", marked=False)
SAID = '你好🙂[1]![image](https://i.example/1.png)\n."\n'
REPLY: list[ReplyEvent] = [
    ReasoningDelta("Hm"),
    ReasoningDelta("m."),
    TextDelta("你好"),
    Notice("tool_failed"),
    InterceptedCall("f", "{}"),
    TextDelta("🙂"),
    PAGE,
    ASIDE,
    ImageMade("https://i.example/1.png"),
    TextDelta('."\n'),
    Finished("stop", USAGE),
]
GROUNDING = (
    '"groundingMetadata":{"groundingChunks":[{"web":{"uri":"https://a.example/","title":"Página"}},'
    '{"web":{"uri":"https://b.example/","title":"B"}}],"groundingSupports":[{"segment":{"startIndex":10,'
    '"endIndex":13,"text":"[1]"},"groundingChunkIndices":[0]}],"webSearchQueries":[]}'
)
CALLS: list[ReplyEvent] = [
    ToolCallDelta(1, "", id="call_2", name="now"),
    ToolCallDelta(0, '{"a"', id="call_1", name="add"),
    TextDelta("I add."),
    ToolCallDelta(0, ":1}"),
    ToolCallDelta(2, "[1", id="call_3", name="odd"),
    Finished("tool_calls", USAGE),
]
CALL_PARTS = (
    '{"functionCall":{"id":"call_1","name":"add","args":{"a":1}},"thoughtSignature":"Y2FsbF8xIGFkZA=="},'
    '{"functionCall":{"id":"call_2","name":"now","args":{}},"thoughtSignature":"Y2FsbF8yIG5vdw=="},'
    '{"functionCall":{"id":"call_3","name":"odd","args":{"arguments":"[1"}},"thoughtSignature":"Y2FsbF8zIG9kZA=="}'
)


def asking(action: str = "streamGenerateContent", alt: str = "sse", *, thoughts: bool = True) -> AskedContent:
    config = {"thinkingConfig": {"includeThoughts": thoughts}}
    body = {"contents": [{"parts": [{"text": "Hello"}]}], "generationConfig": config}
    return parse(json.dumps(body).encode(), Address({"name": "glm-5.3", "action": action}, {"alt": alt}))


ASKED, ARRAY, HIDDEN = asking(), asking(alt=""), asking(thoughts=False)


def stream(batches: Sequence[Sequence[ReplyEvent]], asked: AskedContent = ASKED) -> bytes:
    opened = renderer(asked, HOW)
    return b"".join(opened.feed(batch) for batch in ([STARTED], *batches))


def payloads(streamed: bytes) -> list[str]:
    return [payload.decode() for payload in sse.EventSplitter().feed(streamed)]


def rendered(events: Sequence[ReplyEvent], asked: AskedContent = ASKED) -> bytes:
    return render(asked, Answer([STARTED, *events]), HOW)


def whole(events: Sequence[ReplyEvent], asked: AskedContent = ASKED) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(rendered(events, asked))
    return told


def chunk(parts: str) -> str:
    return f'{{"candidates":[{{"content":{{"role":"model","parts":[{parts}]}},"index":0}}],{TAIL}'


def last(parts: str, reason: str = "STOP", grounding: str = "", feedback: str = "") -> str:
    candidate = (
        f'{{"content":{{"role":"model","parts":[{parts}]}},"finishReason":"{reason}","index":0{grounding}}}'
    )
    return f'{{"candidates":[{candidate}],{feedback}{TOLD},{TAIL}'


def test_a_stream_event_by_event_to_the_byte() -> None:
    assert payloads(stream([[event] for event in REPLY])) == [
        chunk('{"text":"Hm","thought":true}'),
        chunk('{"text":"m.","thought":true}'),
        chunk('{"text":"你好"}'),
        chunk('{"text":"🙂"}'),
        chunk('{"text":"[1]"}'),
        chunk('{"text":"![image](https://i.example/1.png)\\n"}'),
        chunk('{"text":".\\"\\n"}'),
        last('{"text":""}', grounding=f",{GROUNDING}"),
    ]


def test_events_that_come_together_share_a_chunk_in_their_order() -> None:
    thought = '{"text":"Hmm.","thought":true}'
    said = f'{{"text":{json.dumps(SAID, ensure_ascii=False)}}}'
    assert payloads(stream([REPLY])) == [last(f"{thought},{said}", grounding=f",{GROUNDING}")]
    mixed: list[ReplyEvent] = [TextDelta("a"), ReasoningDelta("b"), TextDelta("c"), TextDelta("d")]
    assert payloads(stream([mixed])) == [chunk('{"text":"a"},{"text":"b","thought":true},{"text":"cd"}')]


def test_an_array_to_the_byte() -> None:
    told = stream([REPLY[2:3], REPLY[5:6], [Finished("stop", USAGE)]], ARRAY).decode()
    elements = (chunk('{"text":"你好"}'), chunk('{"text":"🙂"}'), last('{"text":""}'))
    assert told == "[" + ",\r\n".join(elements) + "]"
    assert json.loads(told)[2]["candidates"][0]["finishReason"] == "STOP"


def test_nothing_is_sent_before_there_is_content() -> None:
    nothing: list[ReplyEvent] = [
        Notice("x"),
        TextDelta(""),
        ReasoningDelta(""),
        Rewritten((TextDelta("other"),)),
        ASIDE,
        ToolCallDelta(0, "{", "1", "f"),
    ]
    for asked in (ASKED, ARRAY):
        assert stream([[], nothing], asked) == b""


def test_thoughts_are_left_out_of_an_answer_that_did_not_ask_for_them() -> None:
    assert payloads(stream([REPLY[:3]], HIDDEN)) == [chunk('{"text":"你好"}')]
    parts = whole(REPLY, HIDDEN)["candidates"][0]["content"]["parts"]
    assert parts == [{"text": SAID}]
    assert whole(REPLY, HIDDEN)["usageMetadata"]["thoughtsTokenCount"] == 2


def test_calls_come_whole_and_last() -> None:
    assert payloads(stream([[event] for event in CALLS])) == [chunk('{"text":"I add."}'), last(CALL_PARTS)]
    assert rendered(CALLS).decode() == last('{"text":"I add."},' + CALL_PARTS)


def test_a_failure_is_the_last_element_and_leaves_out_calls_that_are_not_whole() -> None:
    error = UpstreamTimeout("Silence.")
    told = error_body(error).decode()
    events: list[ReplyEvent] = [
        TextDelta("a"),
        ToolCallDelta(0, "{", "1", "f"),
        Failed(error),
        TextDelta("b"),
    ]
    assert payloads(stream([events, [TextDelta("c")]])) == [chunk('{"text":"a"}'), told]
    array = json.loads(stream([events], ARRAY))
    assert array == [json.loads(chunk('{"text":"a"}')), json.loads(told)]
    assert array[1]["error"]["details"][0]["reason"] == "upstream_timeout"


def test_a_failure_before_the_start_is_the_error_alone() -> None:
    error = UpstreamTimeout("Silence.")
    failed: list[ReplyEvent] = [Failed(error)]
    assert payloads(renderer(ASKED, HOW).feed(failed)) == [error_body(error).decode()]
    assert renderer(ARRAY, HOW).feed(failed) == b"[" + error_body(error) + b"]"


def test_moderation_adds_its_words_to_a_stream_and_replaces_a_whole_answer() -> None:
    end: list[ReplyEvent] = [Withdrawn("No more."), Finished("content_filter", USAGE)]
    feedback = '"promptFeedback":{"blockReason":"SAFETY"},'
    assert payloads(stream([[TextDelta("It was")], end])) == [
        chunk('{"text":"It was"}'),
        last('{"text":"\\n\\nNo more."}', "SAFETY", feedback=feedback),
    ]
    assert rendered([TextDelta("It was"), *end]).decode() == last(
        '{"text":"No more."}', "SAFETY", feedback=feedback
    )


@pytest.mark.parametrize(
    ("reason", "told"),
    [("stop", "STOP"), ("length", "MAX_TOKENS"), ("tool_calls", "STOP"), ("content_filter", "SAFETY")],
)
def test_every_reason_has_its_name(reason: FinishReason, told: str) -> None:
    assert whole([TextDelta("a"), Finished(reason)])["candidates"][0]["finishReason"] == told


def test_nothing_follows_the_end() -> None:
    for asked in (ASKED, ARRAY):
        finished = stream([REPLY], asked)
        assert stream([[*REPLY, TextDelta("b")], REPLY, []], asked) == finished


def test_a_whole_answer_to_the_byte() -> None:
    thought = '{"text":"Hmm.","thought":true}'
    said = f'{{"text":{json.dumps(SAID, ensure_ascii=False)}}}'
    assert rendered(REPLY).decode() == last(f"{thought},{said}", grounding=f",{GROUNDING}")


def test_the_least_answer_has_a_part_and_a_usage() -> None:
    assert whole([Finished("stop", Usage(3, 0, cached_tokens=2))]) == {
        "candidates": [
            {"content": {"role": "model", "parts": [{"text": ""}]}, "finishReason": "STOP", "index": 0}
        ],
        "usageMetadata": {
            "promptTokenCount": 3,
            "cachedContentTokenCount": 2,
            "candidatesTokenCount": 0,
            "totalTokenCount": 3,
        },
        "modelVersion": "glm-5.3",
        "responseId": "66f0c1",
    }


def test_a_reply_without_an_ending_or_with_a_failure_is_no_answer() -> None:
    with pytest.raises(UpstreamProtocolError):
        rendered([TextDelta("a")])
    with pytest.raises(UpstreamTimeout):
        rendered([TextDelta("a"), Failed(UpstreamTimeout("Silence."))])


def test_an_answer_that_never_started_has_no_id() -> None:
    assert json.loads(render(ASKED, Answer([Finished("stop")]), HOW))["responseId"] == ""


def test_a_source_is_one_chunk_however_often_the_text_has_it() -> None:
    events: list[ReplyEvent] = [TextDelta("ä"), PAGE, TextDelta("b"), PAGE, Finished("stop")]
    grounding = whole(events)["candidates"][0]["groundingMetadata"]
    assert len(grounding["groundingChunks"]) == 1
    assert [support["segment"]["startIndex"] for support in grounding["groundingSupports"]] == [2, 6]
    assert {tuple(support["groundingChunkIndices"]) for support in grounding["groundingSupports"]} == {(0,)}


def test_characters_that_some_readers_take_for_line_ends_are_escaped_in_events() -> None:
    [told] = stream([[TextDelta("a\u2028b\x85c")]]).splitlines()[:1]
    assert told.decode() == "data: " + chunk('{"text":"a\\u2028b\\u0085c"}')


def test_a_count_is_the_total() -> None:
    assert json.loads(count(7)) == {"totalTokens": 7}


# Streamed equals not streamed

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
EVENTS = st.one_of(
    st.builds(TextDelta, TEXTS),
    st.builds(ReasoningDelta, TEXTS),
    st.builds(
        Citation,
        st.integers(1, 3),
        st.sampled_from(["https://a.example", "https://b.example"]),
        TEXTS,
        st.booleans(),
    ),
    st.builds(ImageMade, st.just("https://i.example/1.png")),
    st.builds(ToolCallDelta, st.integers(0, 2), TEXTS, st.just("call_1"), st.just("add")),
    st.builds(Notice, st.just("x")),
)
ENDINGS = st.builds(Finished, st.sampled_from(["stop", "length", "tool_calls"]), st.just(USAGE))


def merged(chunks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Put a stream together as Google's clients do: texts of one kind that touch are one part."""
    parts: list[dict[str, Any]] = []
    for told in chunks:
        for part in told["candidates"][0]["content"]["parts"]:
            is_same = parts and "text" in part and "text" in parts[-1]
            if is_same and part.get("thought") == parts[-1].get("thought"):
                parts[-1] = {**part, "text": parts[-1]["text"] + part["text"]}
            elif part != {"text": ""}:
                parts.append(part)
    final = dict(chunks[-1])
    content = {"role": "model", "parts": parts or [{"text": ""}]}
    final["candidates"] = [{**final["candidates"][0], "content": content}]
    return final


@given(st.lists(EVENTS, max_size=12), ENDINGS, st.integers(1, 5), st.sampled_from([ASKED, ARRAY, HIDDEN]))
def test_a_stream_says_what_a_whole_answer_says(
    events: list[ReplyEvent], ending: Finished, size: int, asked: AskedContent
) -> None:
    reply = [*events, ending]
    batches = [reply[at : at + size] for at in range(0, len(reply), size)]
    streamed = stream(batches, asked)
    chunks = json.loads(streamed) if asked is ARRAY else [json.loads(told) for told in payloads(streamed)]
    assert merged(chunks) == whole(reply, asked)
