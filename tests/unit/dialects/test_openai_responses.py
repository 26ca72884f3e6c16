"""Neutral events to OpenAI's responses: exact bytes, read by the official SDK, streamed as not streamed."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any, get_args

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import OpenAI
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

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
from lib.dialects.interface import Address, Rendering
from lib.dialects.openai_responses import error_body, parse, render, renderer
from lib.dialects.openai_responses_request import AskedResponse
from lib.errors import (
    ConversationNotFound,
    GatewayError,
    InvalidRequest,
    Throttled,
    UpstreamProtocolError,
    UpstreamTimeout,
)

STREAM_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
HOW = Rendering(created=1790000000, model="glm-5.3", clock=lambda: 1790000009)
STARTED = Started("resp_66f0c1", "glm-5.3-flash", "0a1b2c3d")
USAGE = Usage(prompt_tokens=5, completion_tokens=7, reasoning_tokens=2, cached_tokens=3)
TOLD = {
    "input_tokens": 5,
    "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 12,
}
PAGE = Citation(1, "https://a.example/", "Página")
ASIDE = Citation(2, "https://b.example/", "B", marked=False)
ITEM = "4793d125a9069fcddfd6ca45"
"""The middle of every item's id, made of the response's."""


def asked(**fields: Any) -> AskedResponse:
    return parse(json.dumps({"model": "glm-5.3", "input": "Hello", **fields}).encode(), Address())


TOOLS = [
    {"type": "function", "name": "add", "parameters": {"type": "object"}},
    {"type": "custom", "name": "apply_patch", "description": "Patch."},
    {
        "type": "namespace",
        "name": "agents",
        "description": "Agents.",
        "tools": [{"type": "function", "name": "spawn"}, {"type": "custom", "name": "say"}],
    },
    {"type": "local_shell"},
]
PLAIN = asked()
WITH_TOOLS = asked(tools=TOOLS)


def stream(
    batches: Sequence[Sequence[ReplyEvent]], how_asked: AskedResponse = PLAIN, started: Started = STARTED
) -> bytes:
    opened = renderer(how_asked, HOW)
    return b"".join(opened.feed(batch) for batch in ([started], *batches))


def events_of(streamed: bytes) -> list[dict[str, Any]]:
    """Read the events; each must be one of the SDK's, numbered, and named on its `event:` line."""
    records = streamed.decode().split("\n\n")
    assert records.pop() == ""
    read = []
    for number, record in enumerate(records):
        name, data = record.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        assert event["sequence_number"] == number
        STREAM_EVENT.validate_json(data.removeprefix("data: "), strict=True)
        read.append(event)
    return read


def whole(events: Sequence[ReplyEvent], how_asked: AskedResponse = PLAIN) -> dict[str, Any]:
    rendered = render(how_asked, Answer([STARTED, *events]), HOW)
    Response.model_validate_json(rendered, strict=True)
    loaded: dict[str, Any] = json.loads(rendered)
    return loaded


def brief(event: dict[str, Any]) -> tuple[str, Any]:
    """Name an event, with the one field of it that tells most."""
    kind = event["type"].removeprefix("response.")
    for field in ("delta", "text", "arguments", "input", "annotation", "part"):
        if field in event:
            return kind, event[field]
    return kind, event["item"]["type"] if "item" in event else event.get("output_index")


def test_a_text_to_the_byte() -> None:
    streamed = stream([[TextDelta('你"')], [TextDelta("\u2028"), Finished("stop", USAGE)]])
    item = f'"item_id":"msg_{ITEM}0000","output_index":0'
    text = '你\\"\\u2028'
    lines = [line.removeprefix("data: ") for line in streamed.decode().split("\n") if line.startswith("data")]
    part = '{"type":"output_text","text":"%s","annotations":[],"logprobs":[]}'
    message = (
        f'"output_index":0,"item":{{"id":"msg_{ITEM}0000","type":"message","status":"%s",'
        '"role":"assistant","content":[%s]}'
    )
    bodies = [
        f'output_item.added","sequence_number":2,{message % ("in_progress", "")}',
        f'content_part.added","sequence_number":3,{item},"content_index":0,"part":{part % ""}',
        f'output_text.delta","sequence_number":4,{item},"content_index":0,"delta":"你\\"","logprobs":[]',
        f'output_text.delta","sequence_number":5,{item},"content_index":0,"delta":"\\u2028","logprobs":[]',
        f'output_text.done","sequence_number":6,{item},"content_index":0,"text":"{text}","logprobs":[]',
        f'content_part.done","sequence_number":7,{item},"content_index":0,"part":{part % text}',
        f'output_item.done","sequence_number":8,{message % ("completed", part % text)}',
    ]
    assert lines[2:-1] == [f'{{"type":"response.{body}}}' for body in bodies]
    events_of(streamed)


def test_the_response_opens_and_closes_the_stream_with_every_key() -> None:
    created, in_progress, *_, completed = events_of(stream([[TextDelta("Hi"), Finished("stop", USAGE)]]))
    assert created["response"] == in_progress["response"]
    assert (created["type"], in_progress["type"]) == ("response.created", "response.in_progress")
    assert created["response"] == {
        "id": "resp_66f0c1",
        "object": "response",
        "created_at": 1790000000,
        "status": "in_progress",
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "model": "glm-5.3",
        "output": [],
        "usage": None,
        "background": False,
        "conversation": None,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "prompt_cache_retention": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "truncation": "disabled",
        "user": None,
    }
    assert completed["type"] == "response.completed"
    assert completed["response"] == created["response"] | {
        "status": "completed",
        "completed_at": 1790000009,
        "usage": TOLD,
        "output": completed["response"]["output"],
    }
    assert completed["response"] == whole([TextDelta("Hi"), Finished("stop", USAGE)])


def test_reasoning_comes_before_the_text_as_a_summary() -> None:
    reply: list[ReplyEvent] = [
        ReasoningDelta("H"),
        ReasoningDelta("m."),
        TextDelta("Yes."),
        Finished("stop", USAGE),
    ]
    told = events_of(stream([reply]))
    assert [brief(event) for event in told[2:-1]] == [
        ("output_item.added", "reasoning"),
        ("reasoning_summary_part.added", {"type": "summary_text", "text": ""}),
        ("reasoning_summary_text.delta", "Hm."),
        ("reasoning_summary_text.done", "Hm."),
        ("reasoning_summary_part.done", {"type": "summary_text", "text": "Hm."}),
        ("output_item.done", "reasoning"),
        ("output_item.added", "message"),
        ("content_part.added", {"type": "output_text", "text": "", "annotations": [], "logprobs": []}),
        ("output_text.delta", "Yes."),
        ("output_text.done", "Yes."),
        ("content_part.done", {"type": "output_text", "text": "Yes.", "annotations": [], "logprobs": []}),
        ("output_item.done", "message"),
    ]
    assert {event["summary_index"] for event in told if "summary" in event["type"]} == {0}
    [reasoning, message] = whole(reply)["output"]
    assert reasoning.pop("encrypted_content")
    assert reasoning == {
        "id": f"rs_{ITEM}0000",
        "type": "reasoning",
        "status": "completed",
        "summary": [{"type": "summary_text", "text": "Hm."}],
    }
    assert message["id"] == f"msg_{ITEM}0001"


def test_encrypted_reasoning_comes_with_the_whole_item_and_holds_no_words() -> None:
    reply: list[ReplyEvent] = [ReasoningDelta("Hm."), Finished("stop", USAGE)]
    [item] = whole(reply)["output"]
    assert (
        base64.urlsafe_b64decode(item["encrypted_content"]) == b"glm-gateway reasoning " + item["id"].encode()
    )
    added, done = (
        event["item"]
        for event in events_of(stream([reply]))
        if event["type"].startswith("response.output_item")
    )
    assert "encrypted_content" not in added
    assert done == item


def placed(citation: Citation, start: int, end: int) -> dict[str, Any]:
    place = {"start_index": start, "end_index": end}
    return {"type": "url_citation", **place, "url": citation.url, "title": citation.title}


def test_sources_are_annotations_and_a_search() -> None:
    reply: list[ReplyEvent] = [
        TextDelta("It rains"),
        ASIDE,
        PAGE,
        TextDelta("."),
        PAGE,
        ImageMade("https://i.example/1.png"),
        Finished("stop", USAGE),
    ]
    searched = asked(tools=[{"type": "web_search"}], include=["web_search_call.action.sources"])
    told = events_of(stream([reply], searched))
    text = "It rains[1].[1]![image](https://i.example/1.png)\n"
    page = placed(PAGE, 8, 11)
    again = placed(PAGE, 12, 15)
    aside = placed(ASIDE, len(text), len(text))
    assert [brief(event) for event in told[4:-1]] == [
        ("output_text.delta", "It rains"),
        ("output_item.added", "web_search_call"),
        ("web_search_call.in_progress", 1),
        ("web_search_call.searching", 1),
        ("web_search_call.completed", 1),
        ("output_text.delta", "[1]"),
        ("output_text.annotation.added", page),
        ("output_text.delta", "."),
        ("output_text.delta", "[1]"),
        ("output_text.annotation.added", again),
        ("output_text.delta", "![image](https://i.example/1.png)\n"),
        ("output_text.annotation.added", aside),
        ("output_text.done", text),
        (
            "content_part.done",
            {"type": "output_text", "text": text, "annotations": [page, again, aside], "logprobs": []},
        ),
        ("output_item.done", "message"),
        ("output_item.done", "web_search_call"),
    ]
    places = [event["annotation_index"] for event in told if "annotation" in event]
    assert places == [0, 1, 2]
    answer = whole(reply, searched)
    assert answer == told[-1]["response"]
    assert answer["output"][1] == {
        "id": f"ws_{ITEM}0001",
        "type": "web_search_call",
        "status": "completed",
        "action": {
            "type": "search",
            "query": "",
            "sources": [
                {"type": "url", "url": "https://b.example/"},
                {"type": "url", "url": "https://a.example/"},
            ],
        },
    }
    unasked = whole(reply)["output"][1]
    assert "sources" not in unasked["action"]


CALLS: list[ReplyEvent] = [
    TextDelta("I add."),
    ToolCallDelta(0, '{"a"', id="call_1", name="add"),
    ToolCallDelta(0, ":1}"),
    ToolCallDelta(1, '{"input":"*** Begin', id="call_2", name="apply_patch"),
    ToolCallDelta(1, ' Patch\\n"}'),
    ToolCallDelta(2, '{"task":"t"}', id="call_3", name="spawn"),
    ToolCallDelta(3, '{"command":["ls","-l"],"timeout_ms":5}', id="call_4", name="local_shell"),
    ToolCallDelta(4, '{"input":"Hey"}', id="call_5", name="say"),
    Finished("tool_calls", USAGE),
]


def test_calls_of_every_kind() -> None:
    told = events_of(stream([CALLS], WITH_TOOLS))
    calls = [event for event in told if event.get("output_index", 0) > 0]
    assert [(event["output_index"], *brief(event)) for event in calls] == [
        (1, "output_item.added", "function_call"),
        (1, "function_call_arguments.delta", '{"a"'),
        (1, "function_call_arguments.delta", ":1}"),
        (2, "output_item.added", "custom_tool_call"),
        (3, "output_item.added", "function_call"),
        (3, "function_call_arguments.delta", '{"task":"t"}'),
        (4, "output_item.added", "local_shell_call"),
        (5, "output_item.added", "custom_tool_call"),
        (1, "function_call_arguments.done", '{"a":1}'),
        (1, "output_item.done", "function_call"),
        (2, "custom_tool_call_input.delta", "*** Begin Patch\n"),
        (2, "custom_tool_call_input.done", "*** Begin Patch\n"),
        (2, "output_item.done", "custom_tool_call"),
        (3, "function_call_arguments.done", '{"task":"t"}'),
        (3, "output_item.done", "function_call"),
        (4, "output_item.done", "local_shell_call"),
        (5, "custom_tool_call_input.delta", "Hey"),
        (5, "custom_tool_call_input.done", "Hey"),
        (5, "output_item.done", "custom_tool_call"),
    ]
    answer = whole(CALLS, WITH_TOOLS)
    assert answer == told[-1]["response"]
    assert answer["status"] == "completed"
    done = {"status": "completed"}
    assert answer["output"][1:] == [
        {
            "id": f"fc_{ITEM}0001",
            "type": "function_call",
            **done,
            "call_id": "call_1",
            "name": "add",
            "arguments": '{"a":1}',
        },
        {
            "id": f"fc_{ITEM}0002",
            "type": "custom_tool_call",
            **done,
            "call_id": "call_2",
            "name": "apply_patch",
            "input": "*** Begin Patch\n",
        },
        {
            "id": f"fc_{ITEM}0003",
            "type": "function_call",
            **done,
            "call_id": "call_3",
            "name": "spawn",
            "namespace": "agents",
            "arguments": '{"task":"t"}',
        },
        {
            "id": f"fc_{ITEM}0004",
            "type": "local_shell_call",
            **done,
            "call_id": "call_4",
            "action": {
                "type": "exec",
                "command": ["ls", "-l"],
                "env": {},
                "timeout_ms": 5,
                "working_directory": None,
            },
        },
        {
            "id": f"fc_{ITEM}0005",
            "type": "custom_tool_call",
            **done,
            "call_id": "call_5",
            "name": "say",
            "namespace": "agents",
            "input": "Hey",
        },
    ]


@pytest.mark.parametrize("arguments", ["*** Begin Patch", '{"patch":"x"}', '{"input":1}', "[1]", '{"input'])
def test_a_free_form_call_without_its_wrapping_keeps_its_words(arguments: str) -> None:
    call = ToolCallDelta(0, arguments, id="call_1", name="apply_patch")
    [item] = whole([call, Finished("tool_calls", USAGE)], WITH_TOOLS)["output"]
    assert item["input"] == arguments


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ('{"command":"ls | wc"}', ["bash", "-lc", "ls | wc"]),
        ('{"command":["seq",3]}', ["seq", "3"]),
        ('{"command":{"a":1}}', []),
        ("{}", []),
        ("ls", []),
    ],
)
def test_a_shell_call_always_has_a_list_of_words(arguments: str, command: list[str]) -> None:
    call = ToolCallDelta(0, arguments, id="call_1", name="local_shell")
    [item] = whole([call, Finished("tool_calls", USAGE)], WITH_TOOLS)["output"]
    assert item["action"]["command"] == command


@pytest.mark.parametrize(
    ("reason", "said"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_a_reply_that_is_cut_is_incomplete(reason: FinishReason, said: str) -> None:
    reply: list[ReplyEvent] = [ReasoningDelta("Hm."), TextDelta("Once"), Finished(reason, USAGE)]
    *told, last = events_of(stream([reply]))
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": said}
    assert last["response"]["status"] == "incomplete"
    assert last["response"]["completed_at"] is None
    assert [item["status"] for item in last["response"]["output"]] == ["completed", "incomplete"]
    assert told[-1]["item"] == last["response"]["output"][1]
    assert last["response"] == whole(reply)


def test_a_limit_after_a_call_leaves_the_call_complete() -> None:
    reply = [*CALLS[:3], Finished("length", USAGE)]
    answer = whole(reply, WITH_TOOLS)
    assert [item["status"] for item in answer["output"]] == ["completed", "completed"]
    assert events_of(stream([reply], WITH_TOOLS))[-1]["response"] == answer


FAILURES: list[tuple[GatewayError, str, str]] = [
    (UpstreamTimeout("Silence."), "server_error", "api_error"),
    (Throttled("Too fast."), "rate_limit_exceeded", "rate_limit_error"),
    (InvalidRequest("No image.", param="input[0]"), "invalid_prompt", "invalid_request_error"),
]


@pytest.mark.parametrize(("error", "code", "kind"), FAILURES)
def test_a_failure_after_the_start_is_a_failed_response(error: GatewayError, code: str, kind: str) -> None:
    batches: list[list[ReplyEvent]] = [
        [ReasoningDelta("Hm."), TextDelta("a"), Failed(error), TextDelta("b")],
        [TextDelta("c")],
    ]
    *told, last = events_of(stream(batches))
    assert last["type"] == "response.failed"
    assert last["response"]["id"] == "resp_66f0c1"
    assert last["response"]["status"] == "failed"
    assert last["response"]["error"] == {
        "code": code,
        "message": error.message,
        "type": kind,
        "param": error.param,
        "reason": error.code,
    }
    assert [item["status"] for item in last["response"]["output"]] == ["completed", "incomplete"]
    assert told[-1]["type"] == "response.output_text.delta"


def test_a_failure_before_the_start_has_a_response_of_its_own() -> None:
    told = events_of(renderer(PLAIN, HOW).feed([Failed(UpstreamTimeout("Silence."))]))
    assert [event["type"] for event in told] == [
        "response.created",
        "response.in_progress",
        "response.failed",
    ]
    assert len({event["response"]["id"] for event in told}) == 1
    assert told[-1]["response"]["error"]["message"] == "Silence."


def test_a_context_that_is_too_long_keeps_the_word_that_clients_act_on() -> None:
    error = InvalidRequest("Too long.", code="context_length_exceeded")
    streamed = renderer(PLAIN, HOW).feed([Failed(error)])
    last = json.loads(streamed.decode().strip().rpartition("data: ")[2])
    assert last["response"]["error"]["code"] == "context_length_exceeded"


def test_an_open_call_of_a_failed_reply_is_incomplete() -> None:
    batches: list[list[ReplyEvent]] = [[*CALLS[:2], Failed(UpstreamTimeout("Silence."))]]
    *told, last = events_of(stream(batches, WITH_TOOLS))
    assert [item["status"] for item in last["response"]["output"]] == ["completed", "incomplete"]
    done = [event["item"]["type"] for event in told if event["type"] == "response.output_item.done"]
    assert done == ["message"], "no client may run a call that is not whole"


def test_moderation_adds_its_words_to_a_stream_and_replaces_a_whole_answer() -> None:
    end: list[ReplyEvent] = [Withdrawn("No more of this."), Finished("content_filter", USAGE)]
    streamed = events_of(stream([[TextDelta("It was"), *end]]))[-1]["response"]
    assert streamed["output"][0]["content"][0]["text"] == "It was\n\nNo more of this."
    answer = whole([TextDelta("It was"), *end])
    assert answer["output"][0]["content"][0]["text"] == "No more of this."
    assert answer["incomplete_details"] == {"reason": "content_filter"}


def test_events_for_the_log_alone_add_nothing() -> None:
    opened = renderer(PLAIN, HOW)
    opened.feed([STARTED])
    nothing: list[ReplyEvent] = [
        Notice("x"),
        TextDelta(""),
        ReasoningDelta(""),
        Rewritten((TextDelta("other"),)),
        InterceptedCall("add", "{}"),
    ]
    assert opened.feed(nothing) == b""
    assert opened.feed([]) == b""


def test_a_rewritten_reply_begins_again_in_a_whole_answer() -> None:
    rewritten = Rewritten((TextDelta("Other "), PAGE))
    output = whole([TextDelta("First"), rewritten, Finished("stop", USAGE)])["output"]
    assert output[0]["content"][0]["text"] == "Other [1]"
    assert [item["type"] for item in output] == ["message", "web_search_call"]


def test_a_failed_reply_is_no_whole_answer() -> None:
    error = UpstreamTimeout("Silence.")
    with pytest.raises(UpstreamTimeout) as caught:
        whole([TextDelta("a"), Failed(error), Finished("stop")])
    assert caught.value is error
    with pytest.raises(UpstreamProtocolError, match="got no end"):
        whole([TextDelta("a")])


def test_an_unknown_conversation_is_named_as_this_dialect_names_it() -> None:
    error = ConversationNotFound("Unknown.", param="conversation_id")
    assert json.loads(error_body(error))["error"] == {
        "message": "Unknown.",
        "type": "invalid_request_error",
        "param": "previous_response_id",
        "code": "conversation_not_found",
    }
    for neutral, ours in (
        ("messages", "input"),
        ("max_tokens", "max_output_tokens"),
        ("text", "text"),
        (None, None),
    ):
        assert json.loads(error_body(InvalidRequest("No.", param=neutral)))["error"]["param"] == ours


def ask_sdk(answer: bytes) -> OpenAI:
    """Make an SDK client to which everything is answered with these bytes."""
    headers = {"content-type": "text/event-stream" if answer.startswith(b"event:") else "application/json"}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, content=answer, headers=headers))
    return OpenAI(api_key="k", base_url="http://gateway/v1", http_client=httpx2.Client(transport=transport))


MIXED: list[ReplyEvent] = [ReasoningDelta("Hm."), TextDelta("It rains"), PAGE, ASIDE, *CALLS]


def test_the_official_sdk_reads_the_same_streamed_and_not() -> None:
    with ask_sdk(render(WITH_TOOLS, Answer([STARTED, *MIXED]), HOW)) as client:
        created = client.responses.create(model="glm-5.3", input="Hello")
    with (
        ask_sdk(stream([[event] for event in MIXED], WITH_TOOLS)) as client,
        client.responses.stream(model="glm-5.3", input="Hello") as events,
    ):
        kinds = [event.type for event in events]
        final = events.get_final_response()
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert final.output_text == created.output_text == "It rains[1]I add."
    assert final.usage == created.usage
    assert [item.type for item in final.output] == [item.type for item in created.output]
    assert [item.to_dict()["id"] for item in final.output] == [
        item.to_dict()["id"] for item in created.output
    ]
    assert final.to_dict(exclude_unset=True)["id"] == created.id == "resp_66f0c1"


class Weather(BaseModel):
    city: str
    degrees: int


def test_the_official_sdk_parses_structured_output() -> None:
    reply: list[ReplyEvent] = [
        TextDelta('{"city":"深圳",'),
        TextDelta('"degrees":26}'),
        Finished("stop", USAGE),
    ]
    with ask_sdk(render(PLAIN, Answer([STARTED, *reply]), HOW)) as client:
        parsed = client.responses.parse(model="glm-5.3", input="Hello", text_format=Weather)
    assert parsed.output_parsed == Weather(city="深圳", degrees=26)
    with (
        ask_sdk(stream([reply])) as client,
        client.responses.stream(model="glm-5.3", input="Hello", text_format=Weather) as events,
    ):
        assert events.get_final_response().output_parsed == parsed.output_parsed


def test_the_official_sdk_sees_the_failure_of_a_stream() -> None:
    broken = stream([[TextDelta("a"), Failed(UpstreamTimeout("Silence."))]])
    with (
        ask_sdk(broken) as client,
        client.responses.stream(model="glm-5.3", input="Hello") as events,
    ):
        last = list(events)[-1]
    assert last.type == "response.failed"
    assert last.response.error is not None
    assert last.response.error.message == "Silence."


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
NAMES = ("add", "apply_patch", "spawn", "local_shell")


def named(events: list[ReplyEvent]) -> list[ReplyEvent]:
    """Give the first piece of each call its id and name, as the neutral events promise."""
    seen: set[int] = set()
    for at, event in enumerate(events):
        if isinstance(event, ToolCallDelta) and event.index not in seen:
            seen.add(event.index)
            name = NAMES[event.index]
            events[at] = ToolCallDelta(event.index, event.arguments, f"call_{event.index}", name)
    return events


@given(batches=st.lists(st.lists(EVENTS, max_size=6), max_size=6), end=ENDS, answer_id=TEXTS)
def test_streamed_is_the_same_as_not_streamed(
    batches: list[list[ReplyEvent]], end: Finished, answer_id: str
) -> None:
    events = [*named([event for batch in batches for event in batch]), end]
    sizes = [len(batch) for batch in batches]
    starts = [sum(sizes[:at]) for at in range(len(sizes) + 1)]
    cut = [events[start:stop] for start, stop in zip(starts, [*starts[1:], None], strict=True)]
    started = Started(answer_id, "glm")
    streamed = stream(cut, WITH_TOOLS, started)
    assert len(streamed.decode().splitlines()) == 3 * streamed.count(b"\n\n")
    answer = json.loads(render(WITH_TOOLS, Answer([started, *events]), HOW))
    *told, last = events_of(streamed)
    assert last["response"] == answer
    assert accumulated(told) == answer["output"]


def accumulated(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Make of a stream's events the items that a client makes of them, by their deltas alone."""
    items: dict[int, dict[str, Any]] = {}
    done: set[int] = set()
    for event in events[2:]:
        kind, index = event["type"].removeprefix("response."), event["output_index"]
        if kind == "output_item.added":
            assert index == len(items)
            items[index] = event["item"]
            continue
        assert index not in done
        item = items[index]
        assert event.get("item_id", item["id"]) == item["id"]
        match kind:
            case "output_item.done":
                check_done(item, event["item"])
                items[index] = event["item"]
                done.add(index)
            case "content_part.added":
                item["content"].append(event["part"])
            case "output_text.delta":
                item["content"][event["content_index"]]["text"] += event["delta"]
            case "output_text.annotation.added":
                notes = item["content"][event["content_index"]]["annotations"]
                assert event["annotation_index"] == len(notes)
                notes.append(event["annotation"])
            case "reasoning_summary_part.added":
                item["summary"].append(event["part"])
            case "reasoning_summary_text.delta":
                item["summary"][event["summary_index"]]["text"] += event["delta"]
            case "function_call_arguments.delta":
                item["arguments"] += event["delta"]
            case "custom_tool_call_input.delta":
                item["input"] += event["delta"]
            case "output_text.done":
                assert event["text"] == item["content"][0]["text"]
            case "content_part.done":
                assert event["part"] == item["content"][0]
            case "function_call_arguments.done":
                assert event["arguments"] == item["arguments"]
            case "custom_tool_call_input.done":
                assert event["input"] == item["input"]
            case "reasoning_summary_text.done":
                assert event["text"] == item["summary"][0]["text"]
            case "reasoning_summary_part.done":
                assert event["part"] == item["summary"][0]
            case _:
                assert kind.startswith("web_search_call."), kind
    assert done == set(items)
    return [items[index] for index in sorted(items)]


def check_done(item: dict[str, Any], done: dict[str, Any]) -> None:
    """Hold an item made of deltas against the whole one; some fields come with that alone."""
    told: dict[str, Any] = {
        key: done[key] for key in ("status", "action", "encrypted_content") if key in done
    }
    assert {**item, **told} == done


@given(events=st.lists(st.builds(TextDelta, TEXTS) | CITATIONS), end=ENDS)
def test_every_marked_source_stands_where_its_annotation_says(
    events: list[ReplyEvent], end: Finished
) -> None:
    items = [item for item in whole([*events, end])["output"] if item["type"] == "message"]
    citations = [event for event in events if isinstance(event, Citation)]
    assert bool(items) or not citations
    for part in (item["content"][0] for item in items):
        ordered = sorted(citations, key=lambda citation: not citation.marked)
        for citation, place in zip(ordered, part["annotations"], strict=True):
            assert (place["url"], place["title"]) == (citation.url, citation.title)
            assert part["text"][place["start_index"] : place["end_index"]] == citation.marker
            assert citation.marked or place["start_index"] == len(part["text"])


def test_the_splitter_of_this_gateway_reads_the_stream_too() -> None:
    payloads = sse.EventSplitter().feed(stream([MIXED], WITH_TOOLS))
    assert json.loads(payloads[-1])["type"] == "response.completed"
