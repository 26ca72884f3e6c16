"""Neutral events to OpenAI's answers: exact bytes, read by the official SDK, streamed as not streamed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, get_args

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import APIError, OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from lib import sse
from lib.chat.answer import Answer
from lib.chat.events import (
    Citation,
    Failed,
    Finished,
    FinishReason,
    ImageMade,
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
from lib.chat.request import ChatRequest
from lib.dialects.interface import Address, Rendering
from lib.dialects.openai_chat import parse, render, renderer
from lib.dialects.openai_chat_request import AskedChat
from lib.errors import UpstreamProtocolError, UpstreamTimeout

STREAMED = b'{"model":"glm-5.3","stream":true,"messages":[{"role":"user","content":"Hello"}]'
ASKED = parse(STREAMED + b"}", Address())
WITH_USAGE = parse(STREAMED + b',"stream_options":{"include_usage":true}}', Address())
HOW = Rendering(created=1790000000, model="glm-5.3")
STARTED = Started("66f0c1", "glm-5.3-flash", "0a1b2c3d")
USAGE = Usage(prompt_tokens=5, completion_tokens=7, reasoning_tokens=2)
TOLD = (
    '{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12,'
    '"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":2}}'
)
PAGE = Citation(1, "https://a.example/", "Página")
ASIDE = Citation(2, "https://b.example/", "B", marked=False)
REPLY: list[ReplyEvent] = [
    ReasoningDelta("Hm"),
    ReasoningDelta("m."),
    TextDelta("你好"),
    Notice("tool_failed"),
    TextDelta("🙂"),
    PAGE,
    ASIDE,
    ImageMade("https://i.example/1.png"),
    TextDelta('."\n'),
    Finished("stop", USAGE),
]
CONTENT = '你好🙂[1]![image](https://i.example/1.png)\n."\n'
SOURCES = [
    {
        "type": "url_citation",
        "url_citation": {"start_index": 3, "end_index": 6, "url": PAGE.url, "title": "Página"},
    },
    {
        "type": "url_citation",
        "url_citation": {
            "start_index": len(CONTENT),
            "end_index": len(CONTENT),
            "url": ASIDE.url,
            "title": "B",
        },
    },
]
CALLS: list[ReplyEvent] = [
    ToolCallDelta(1, "", id="call_2", name="now"),
    ToolCallDelta(0, '{"a"', id="call_1", name="add"),
    ToolCallDelta(0, ":1}"),
    Finished("tool_calls", USAGE),
]


def stream(batches: Sequence[Sequence[ReplyEvent]], asked: AskedChat = ASKED) -> bytes:
    opened = renderer(asked, HOW)
    return b"".join(opened.feed(batch) for batch in ([STARTED], *batches))


def payloads(streamed: bytes) -> list[str]:
    splitter = sse.EventSplitter()
    return [payload.decode() for payload in splitter.feed(streamed)]


def rendered_completion(events: Sequence[ReplyEvent]) -> bytes:
    return render(ASKED, Answer([STARTED, *events]), HOW)


def complete(events: Sequence[ReplyEvent]) -> dict[str, Any]:
    rendered = rendered_completion(events)
    ChatCompletion.model_validate_json(rendered, strict=True)
    loaded: dict[str, Any] = json.loads(rendered)
    return loaded


HEAD = '{"id":"66f0c1","object":"chat.completion.chunk","created":1790000000,"model":"glm-5.3",'


def chunk(delta: str, finish: str = "null", usage: str = "") -> str:
    return HEAD + f'"choices":[{{"index":0,"delta":{{{delta}}},"finish_reason":{finish}}}]{usage}}}'


def compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def test_a_stream_event_by_event_to_the_byte() -> None:
    assert payloads(stream([[event] for event in REPLY])) == [
        chunk('"role":"assistant","content":""'),
        chunk('"reasoning_content":"Hm"'),
        chunk('"reasoning_content":"m."'),
        chunk('"content":"你好"'),
        chunk('"content":"🙂"'),
        chunk('"content":"[1]"'),
        chunk('"content":"![image](https://i.example/1.png)\\n"'),
        chunk('"content":".\\"\\n"'),
        chunk(f'"annotations":{compact(SOURCES)}', '"stop"'),
        "[DONE]",
    ]


def test_events_that_come_together_share_a_chunk_in_their_order() -> None:
    assert payloads(stream([REPLY])) == [
        chunk('"role":"assistant","content":""'),
        chunk('"reasoning_content":"Hmm."'),
        chunk(f'"content":{compact(CONTENT)}'),
        chunk(f'"annotations":{compact(SOURCES)}', '"stop"'),
        "[DONE]",
    ]
    mixed: list[ReplyEvent] = [
        TextDelta("a"),
        ReasoningDelta("b"),
        ToolCallDelta(0, "c"),
        TextDelta("d"),
        TextDelta("e"),
    ]
    assert payloads(stream([[], mixed])) == [
        chunk('"role":"assistant","content":""'),
        chunk('"content":"a"'),
        chunk('"reasoning_content":"b"'),
        chunk('"tool_calls":[{"index":0,"function":{"arguments":"c"}}]'),
        chunk('"content":"de"'),
    ]


def test_the_start_opens_the_stream_and_empty_events_add_nothing() -> None:
    opened = renderer(ASKED, HOW)
    assert opened.feed([]) == b""
    assert payloads(opened.feed([STARTED])) == [chunk('"role":"assistant","content":""')]
    assert opened.feed([]) == b""
    nothing: list[ReplyEvent] = [
        Notice("x"),
        TextDelta(""),
        ReasoningDelta(""),
        Rewritten((TextDelta("other"),)),
        ASIDE,
    ]
    assert opened.feed(nothing) == b""


def test_usage_is_told_when_asked_for_and_null_before() -> None:
    assert payloads(stream([REPLY[2:3], REPLY[-1:]], WITH_USAGE)) == [
        chunk('"role":"assistant","content":""', usage=',"usage":null'),
        chunk('"content":"你好"', usage=',"usage":null'),
        chunk("", '"stop"', ',"usage":null'),
        HEAD + f'"choices":[],"usage":{TOLD}}}',
        "[DONE]",
    ]


def test_tool_calls_in_a_stream() -> None:
    assert payloads(stream([CALLS])) == [
        chunk('"role":"assistant","content":""'),
        chunk(
            '"tool_calls":[{"index":1,"id":"call_2","type":"function",'
            '"function":{"name":"now","arguments":""}}]'
        ),
        chunk(
            '"tool_calls":[{"index":0,"id":"call_1","type":"function",'
            '"function":{"name":"add","arguments":"{\\"a\\""}}]'
        ),
        chunk('"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]'),
        chunk("", '"tool_calls"'),
        "[DONE]",
    ]


def test_a_failure_ends_the_stream_without_pretending_to_be_complete() -> None:
    failed: list[ReplyEvent] = [TextDelta("a"), Failed(UpstreamTimeout("Silence.")), TextDelta("b")]
    assert payloads(stream([failed, [TextDelta("c")]])) == [
        chunk('"role":"assistant","content":""'),
        chunk('"content":"a"'),
        '{"error":{"message":"Silence.","type":"api_error","param":null,"code":"upstream_timeout"}}',
    ]


def test_a_failure_before_the_start_is_the_error_event_alone() -> None:
    assert payloads(renderer(ASKED, HOW).feed([Failed(UpstreamTimeout("Silence."))])) == [
        '{"error":{"message":"Silence.","type":"api_error","param":null,"code":"upstream_timeout"}}',
    ]


def test_moderation_adds_its_words_to_a_stream_and_replaces_a_completion() -> None:
    end: list[ReplyEvent] = [Withdrawn("No more of this."), Finished("content_filter", USAGE)]
    assert payloads(stream([[TextDelta("It was"), *end]]))[1:] == [
        chunk('"content":"It was\\n\\nNo more of this."'),
        chunk("", '"content_filter"'),
        "[DONE]",
    ]
    assert payloads(stream([end]))[1] == chunk('"content":"No more of this."')
    assert complete([TextDelta("It was"), *end])["choices"][0]["message"]["content"] == "No more of this."


def test_nothing_follows_the_end() -> None:
    finished = stream([REPLY])
    assert stream([[*REPLY, TextDelta("b")], REPLY, []]) == finished


def test_a_completion_to_the_byte() -> None:
    assert rendered_completion(REPLY).decode() == (
        '{"id":"66f0c1","object":"chat.completion","created":1790000000,"model":"glm-5.3",'
        '"choices":[{"index":0,"message":{"role":"assistant",'
        f'"content":{compact(CONTENT)},"reasoning_content":"Hmm.","refusal":null,'
        f'"annotations":{compact(SOURCES)}}},"finish_reason":"stop","logprobs":null}}],"usage":{TOLD}}}'
    )


def test_the_least_completion() -> None:
    message = complete([Finished("content_filter")])["choices"][0]["message"]
    assert message == {"role": "assistant", "content": "", "refusal": None, "annotations": []}


def test_tool_calls_in_a_completion() -> None:
    choice = complete(CALLS)["choices"][0]
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"] == [
        {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}},
        {"id": "call_2", "type": "function", "function": {"name": "now", "arguments": ""}},
    ]
    spoken = complete([TextDelta("I add."), ToolCallDelta(0, "{}"), *CALLS[3:]])["choices"][0]["message"]
    assert spoken["content"] == "I add."
    assert spoken["tool_calls"] == [
        {"id": "", "type": "function", "function": {"name": "", "arguments": "{}"}}
    ]


def test_a_rewritten_reply_begins_again_in_a_completion() -> None:
    rewritten = Rewritten((ReasoningDelta("Well."), TextDelta("Other "), ASIDE, PAGE))
    rest: list[ReplyEvent] = [TextDelta("!"), Finished("length", USAGE)]
    message = complete([*REPLY[:-1], rewritten, *rest])["choices"][0]["message"]
    assert message["content"] == "Other [1]!"
    assert message["reasoning_content"] == "Well."
    places = [source["url_citation"] for source in message["annotations"]]
    assert [(place["start_index"], place["end_index"]) for place in places] == [(10, 10), (6, 9)]


def test_a_failed_reply_is_no_completion() -> None:
    error = UpstreamTimeout("Silence.")
    with pytest.raises(UpstreamTimeout) as caught:
        complete([TextDelta("a"), Failed(error), Finished("stop")])
    assert caught.value is error
    with pytest.raises(UpstreamProtocolError, match="got no end"):
        complete([TextDelta("a")])


def test_a_completion_stops_at_the_end() -> None:
    assert complete([*REPLY, TextDelta("b"), Finished("length")]) == complete(REPLY)


def ask_sdk(answer: bytes) -> OpenAI:
    """Make an SDK client to which everything is answered with these bytes."""
    headers = {"content-type": "text/event-stream" if answer.startswith(b"data:") else "application/json"}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, content=answer, headers=headers))
    return OpenAI(api_key="k", base_url="http://gateway/v1", http_client=httpx2.Client(transport=transport))


def test_the_official_sdk_reads_the_same_streamed_and_not() -> None:
    rendered = rendered_completion(REPLY)
    asked: dict[str, Any] = {"model": "glm-5.3", "messages": [{"role": "user", "content": "Hello"}]}
    with ask_sdk(rendered) as client:
        completion = client.chat.completions.create(**asked)
    assert completion.choices[0].message.content == CONTENT
    assert completion.usage is not None
    with (
        ask_sdk(stream([[event] for event in REPLY], WITH_USAGE)) as client,
        client.chat.completions.stream(**asked) as events,
    ):
        final = events.get_final_completion()
    assert final.choices[0].message.content == CONTENT
    assert final.choices[0].finish_reason == completion.choices[0].finish_reason == "stop"
    assert final.usage == completion.usage
    assert final.choices[0].message.annotations == completion.choices[0].message.annotations
    assert final.choices[0].message.model_extra == {"reasoning_content": "Hmm."}


def test_the_official_sdk_raises_what_ends_a_stream_early() -> None:
    broken = stream([[TextDelta("a"), Failed(UpstreamTimeout("Silence."))]])
    with (
        ask_sdk(broken) as client,
        client.chat.completions.create(model="", messages=[], stream=True) as chunks,
    ):
        assert [next(chunks).choices[0].delta.content for _ in range(2)] == ["", "a"]
        with pytest.raises(APIError, match=r"Silence\.") as caught:
            next(chunks)
    assert caught.value.code == "upstream_timeout"


TEXTS = st.text(max_size=8) | st.text(st.sampled_from('"\\\n\r\x85\u2028\u2029\x00🙂你'), max_size=5)
CITATIONS = st.builds(Citation, st.integers(1, 20), TEXTS, TEXTS, st.booleans())
EVENTS: st.SearchStrategy[ReplyEvent] = st.one_of(
    st.builds(TextDelta, TEXTS),
    st.builds(ReasoningDelta, TEXTS),
    CITATIONS,
    st.builds(ImageMade, TEXTS),
    st.builds(ToolCallDelta, st.integers(0, 3), TEXTS),
    st.builds(Notice, TEXTS),
)
ENDS = st.builds(
    Finished,
    st.sampled_from(get_args(FinishReason)),
    st.builds(Usage, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)),
)


def named(events: list[ReplyEvent]) -> list[ReplyEvent]:
    """Give the first piece of each call its id and name, as the neutral events promise."""
    seen: set[int] = set()
    for at, event in enumerate(events):
        if isinstance(event, ToolCallDelta) and event.index not in seen:
            seen.add(event.index)
            events[at] = ToolCallDelta(event.index, event.arguments, f"call_{event.index}", "add")
    return events


@given(
    batches=st.lists(st.lists(EVENTS, max_size=6), max_size=6),
    end=ENDS,
    model=TEXTS,
    answer_id=TEXTS,
)
def test_streamed_is_the_same_as_not_streamed(
    batches: list[list[ReplyEvent]], end: Finished, model: str, answer_id: str
) -> None:
    events = [*named([event for batch in batches for event in batch]), end]
    sizes = [len(batch) for batch in batches]
    starts = [sum(sizes[:at]) for at in range(len(sizes) + 1)]
    started, how = Started(answer_id, "glm"), Rendering(created=1, model=model)
    asked = AskedChat(chat=ChatRequest(model=model, messages=()), include_usage=True)
    opened = renderer(asked, how)
    streamed = opened.feed([started]) + b"".join(
        opened.feed(events[start:stop]) for start, stop in zip(starts, [*starts[1:], None], strict=True)
    )
    assert len(streamed.decode().splitlines()) == 2 * streamed.count(b"\n\n")

    *rendered, done = payloads(streamed)
    assert done == "[DONE]"
    chunks = [json.loads(payload) for payload in rendered]
    for payload in rendered:
        ChatCompletionChunk.model_validate_json(payload, strict=True)
    whole = json.loads(render(asked, Answer([started, *events]), how))
    assert joined(chunks) == whole


def joined(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """Make of a stream's chunks what a client makes of them: the completion."""
    *parts, last = chunks
    assert last["choices"] == []
    assert all(part["usage"] is None for part in parts)
    assert all(part["choices"][0]["finish_reason"] is None for part in parts[:-1])
    deltas = [part["choices"][0]["delta"] for part in parts]
    assert [delta.get("role") for delta in deltas] == ["assistant"] + [None] * (len(deltas) - 1)
    content = "".join(delta.get("content", "") for delta in deltas)
    reasoning = "".join(delta.get("reasoning_content", "") for delta in deltas)
    calls: dict[int, dict[str, Any]] = {}
    for piece in (piece for delta in deltas for piece in delta.get("tool_calls", [])):
        index = piece.pop("index")
        if index in calls:
            calls[index]["function"]["arguments"] += piece["function"]["arguments"]
        else:
            calls[index] = piece
    message = {
        "role": "assistant",
        "content": content or (None if calls else ""),
        "refusal": None,
        "annotations": deltas[-1].get("annotations", []),
    }
    if reasoning:
        message["reasoning_content"] = reasoning
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    finish_reason = parts[-1]["choices"][0]["finish_reason"]
    choice = {"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": None}
    same = {key: last[key] for key in ("id", "created", "model", "usage")}
    assert all({**part, "usage": last["usage"], "choices": 0} == {**last, "choices": 0} for part in parts)
    return {**same, "object": "chat.completion", "choices": [choice]}


@given(events=st.lists(st.builds(TextDelta, TEXTS) | CITATIONS), end=ENDS)
def test_every_marked_source_stands_where_its_annotation_says(
    events: list[ReplyEvent], end: Finished
) -> None:
    message = complete([*events, end])["choices"][0]["message"]
    text = message["content"]
    citations = [event for event in events if isinstance(event, Citation)]
    for citation, annotation in zip(citations, message["annotations"], strict=True):
        place = annotation["url_citation"]
        assert (place["url"], place["title"]) == (citation.url, citation.title)
        assert text[place["start_index"] : place["end_index"]] == citation.marker
        assert citation.marked or place["start_index"] == len(text)


FREEFORM: list[ReplyEvent] = [
    ToolCallDelta(0, "", id="call_1", name="patch"),
    ToolCallDelta(0, '{"input":"a \\"b'),
    ToolCallDelta(0, '\\"\\n"}'),
    Finished("tool_calls", USAGE),
]


def test_a_free_form_call_is_a_custom_one_with_its_text() -> None:
    tools = b',"tools":[{"type":"custom","custom":{"name":"patch"}}]}'
    asked = parse(STREAMED + tools, Address())
    custom = {"name": "patch", "input": 'a "b"\n'}
    told = [json.loads(payload) for payload in payloads(stream([FREEFORM], asked))[1:-1]]
    assert [one["choices"][0]["delta"] for one in told] == [
        {"tool_calls": [{"index": 0, "id": "call_1", "type": "custom", "custom": custom}]},
        {},
    ]
    answer = json.loads(render(asked, Answer([STARTED, *FREEFORM]), HOW))["choices"][0]
    assert answer["message"]["tool_calls"] == [{"id": "call_1", "type": "custom", "custom": custom}]


def test_a_call_for_functions_of_the_older_form_has_their_form() -> None:
    asked = parse(STREAMED + b',"functions":[{"name":"add"}]}', Address())
    call: list[ReplyEvent] = [
        ToolCallDelta(0, "", id="call_1", name="add"),
        ToolCallDelta(0, "{}"),
        Finished("tool_calls", USAGE),
    ]
    assert payloads(stream([call], asked))[1:] == [
        chunk('"function_call":{"name":"add","arguments":""}'),
        chunk('"function_call":{"arguments":"{}"}'),
        chunk("", '"function_call"'),
        "[DONE]",
    ]
    answer = json.loads(render(asked, Answer([STARTED, *call]), HOW))["choices"][0]
    assert answer["finish_reason"] == "function_call"
    assert answer["message"]["function_call"] == {"name": "add", "arguments": "{}"}
    assert "tool_calls" not in answer["message"]
