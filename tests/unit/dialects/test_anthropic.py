"""Neutral events to Anthropic's answers: exact bytes, and streamed as not streamed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from lib.dialects.anthropic import HEARTBEAT, count, parse, render, renderer
from lib.dialects.anthropic_request import AskedMessage
from lib.dialects.interface import Address, Rendering
from lib.errors import UpstreamProtocolError, UpstreamTimeout
from tests.support.anthropic import Built, events_of


def asking(**fields: Any) -> AskedMessage:
    body = {"messages": [{"role": "user", "content": "Hello"}], **fields}
    return parse(json.dumps(body).encode(), Address())


ASKED = asking()
SEARCHING = asking(tools=[{"type": "web_search_20250305", "name": "web_search"}])
HIDING = asking(thinking={"type": "disabled"})
SIGNING = asking(thinking={"type": "adaptive", "display": "omitted"})
HOW = Rendering(created=1790000000, model="claude-x", request_id="req-1")
STARTED = Started("66f0c1", "glm-5.3-flash", "0a1b2c3d")
USAGE = Usage(prompt_tokens=5, completion_tokens=7, reasoning_tokens=2, cached_tokens=1)
TOLD = '{"input_tokens":4,"cache_creation_input_tokens":0,"cache_read_input_tokens":1,"output_tokens":7}'
PAGE = Citation(1, "https://a.example/", "Página")
ASIDE = Citation(2, "https://b.example/", "B", marked=False)
SIGNATURE = "bXNnXzY2ZjBjMTow"
REPLY: list[ReplyEvent] = [
    ReasoningDelta("Hm"),
    ReasoningDelta("m."),
    TextDelta("你好"),
    Notice("tool_failed"),
    InterceptedCall("x", "{}"),
    TextDelta("🙂"),
    PAGE,
    ASIDE,
    PAGE,
    ImageMade("https://i.example/1.png"),
    TextDelta('."\n'),
    Finished("stop", USAGE),
]
CONTENT = '你好🙂[1][1]![image](https://i.example/1.png)\n."\n'
CALLS: list[ReplyEvent] = [
    TextDelta("I add."),
    ToolCallDelta(0, '{"a"', id="toolu_1", name="add"),
    ToolCallDelta(0, ":1}"),
    ToolCallDelta(1, "", id="toolu_2", name="now"),
    Finished("tool_calls", USAGE),
]


def stream(batches: Sequence[Sequence[ReplyEvent]], asked: AskedMessage = ASKED) -> bytes:
    opened = renderer(asked, HOW)
    return b"".join(opened.feed(batch) for batch in ([STARTED], *batches))


def built(events: Sequence[ReplyEvent], asked: AskedMessage = ASKED) -> Built:
    return Built(stream([events], asked))


def whole(events: Sequence[ReplyEvent], asked: AskedMessage = ASKED) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(render(asked, Answer([STARTED, *events]), HOW))
    return message


def frame(data: str) -> str:
    return f"event: {json.loads(data)['type']}\ndata: {data}\n\n"


def place(citation: Citation) -> str:
    return (
        f'{{"type":"web_search_result_location","url":"{citation.url}","title":"{citation.title}",'
        '"encrypted_index":"","cited_text":""}'
    )


def delta(index: int, inner: str) -> str:
    return frame(f'{{"type":"content_block_delta","index":{index},"delta":{{{inner}}}}}')


def start(index: int, block: str) -> str:
    return frame(f'{{"type":"content_block_start","index":{index},"content_block":{block}}}')


def stop(index: int) -> str:
    return frame(f'{{"type":"content_block_stop","index":{index}}}')


OPENING = frame(
    '{"type":"message_start","message":{"id":"msg_66f0c1","type":"message","role":"assistant",'
    '"model":"claude-x","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,'
    '"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}'
)


def ending(reason: str) -> str:
    told = f'{{"stop_reason":"{reason}","stop_sequence":null}}'
    return frame(f'{{"type":"message_delta","delta":{told},"usage":{TOLD}}}') + frame(
        '{"type":"message_stop"}'
    )


def test_a_stream_event_by_event_to_the_byte() -> None:
    assert stream([[event] for event in REPLY]).decode() == "".join(
        [
            OPENING,
            start(0, '{"type":"thinking","thinking":"","signature":""}'),
            delta(0, '"type":"thinking_delta","thinking":"Hm"'),
            delta(0, '"type":"thinking_delta","thinking":"m."'),
            delta(0, f'"type":"signature_delta","signature":"{SIGNATURE}"'),
            stop(0),
            start(1, '{"type":"text","text":""}'),
            delta(1, '"type":"text_delta","text":"你好"'),
            delta(1, '"type":"text_delta","text":"🙂"'),
            delta(1, '"type":"text_delta","text":"[1]"'),
            delta(1, f'"type":"citations_delta","citation":{place(PAGE)}'),
            delta(1, f'"type":"citations_delta","citation":{place(ASIDE)}'),
            delta(1, '"type":"text_delta","text":"[1]"'),
            delta(1, '"type":"text_delta","text":"![image](https://i.example/1.png)\\n"'),
            delta(1, '"type":"text_delta","text":".\\"\\n"'),
            stop(1),
            ending("end_turn"),
        ]
    )


def test_events_that_come_together_share_a_frame_in_their_order() -> None:
    together: list[ReplyEvent] = [TextDelta("a"), TextDelta("b"), ReasoningDelta("c"), TextDelta("d")]
    assert stream([[], together]).decode() == "".join(
        [
            OPENING,
            start(0, '{"type":"text","text":""}'),
            delta(0, '"type":"text_delta","text":"ab"'),
            stop(0),
            start(1, '{"type":"thinking","thinking":"","signature":""}'),
            delta(1, '"type":"thinking_delta","thinking":"c"'),
            delta(1, '"type":"signature_delta","signature":"bXNnXzY2ZjBjMTox"'),
            stop(1),
            start(2, '{"type":"text","text":""}'),
            delta(2, '"type":"text_delta","text":"d"'),
        ]
    )


def test_the_start_opens_the_stream_and_empty_events_add_nothing() -> None:
    opened = renderer(ASKED, HOW)
    assert opened.feed([]) == b""
    assert opened.feed([STARTED]).decode() == OPENING
    nothing: list[ReplyEvent] = [Notice("x"), TextDelta(""), ReasoningDelta(""), Rewritten((TextDelta("a"),))]
    assert opened.feed(nothing) == b""


def test_a_line_separator_stays_within_its_line() -> None:
    streamed = stream([[TextDelta("a\u2028b\x85c")]]).decode()
    assert len(streamed.splitlines()) == len(streamed.split("\n")) - 1


def test_tool_calls_in_a_stream() -> None:
    assert stream([CALLS]).decode() == "".join(
        [
            OPENING,
            start(0, '{"type":"text","text":""}'),
            delta(0, '"type":"text_delta","text":"I add."'),
            stop(0),
            start(1, '{"type":"tool_use","id":"toolu_1","name":"add","input":{}}'),
            delta(1, '"type":"input_json_delta","partial_json":"{\\"a\\":1}"'),
            stop(1),
            start(2, '{"type":"tool_use","id":"toolu_2","name":"now","input":{}}'),
            stop(2),
            ending("tool_use"),
        ]
    )


def test_tool_calls_in_a_message() -> None:
    message = whole(CALLS)
    assert message["content"] == [
        {"type": "text", "text": "I add."},
        {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": 1}},
        {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}},
    ]
    assert message["stop_reason"] == "tool_use"


@pytest.mark.parametrize("arguments", ["[1]", "not JSON", '{"a":'])
def test_arguments_that_are_no_object_go_into_one(arguments: str) -> None:
    [block] = whole([ToolCallDelta(0, arguments, id="a", name="n"), Finished("tool_calls")])["content"]
    assert block["input"] == {"arguments": arguments}


def test_a_message_to_the_byte() -> None:
    assert render(ASKED, Answer([STARTED, *REPLY]), HOW).decode() == (
        '{"id":"msg_66f0c1","type":"message","role":"assistant","model":"claude-x","content":['
        f'{{"type":"thinking","thinking":"Hmm.","signature":"{SIGNATURE}"}},'
        f'{{"type":"text","text":{json.dumps(CONTENT, ensure_ascii=False)},'
        f'"citations":[{place(PAGE)},{place(ASIDE)}]}}],'
        f'"stop_reason":"end_turn","stop_sequence":null,"usage":{TOLD}}}'
    )


def test_the_least_message() -> None:
    assert whole([Finished("stop")])["content"] == []
    assert built([Finished("stop")]).content == []


def test_a_search_that_was_asked_for_is_shown_with_its_results() -> None:
    message = whole(REPLY, SEARCHING)
    hits = [
        {
            "type": "web_search_result",
            "url": source.url,
            "title": source.title,
            "encrypted_content": "",
            "page_age": None,
        }
        for source in (PAGE, ASIDE)
    ]
    assert message["content"][2:] == [
        {"type": "server_tool_use", "id": "srvtoolu_66f0c1", "input": {"query": ""}, "name": "web_search"},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_66f0c1", "content": hits},
    ]
    assert message["usage"]["server_tool_use"] == {"web_search_requests": 1, "web_fetch_requests": 0}
    assert built(REPLY, SEARCHING).message == message
    assert "server_tool_use" not in whole(CALLS, SEARCHING)["usage"]


def test_reasoning_is_shown_signed_or_hidden_as_the_client_wants_it() -> None:
    for asked, shown in (
        (ASKED, [{"type": "thinking", "thinking": "Hmm.", "signature": SIGNATURE}]),
        (SIGNING, [{"type": "thinking", "thinking": "", "signature": SIGNATURE}]),
        (HIDING, []),
    ):
        assert whole(REPLY, asked)["content"][:-1] == shown
        assert built(REPLY, asked).content == whole(REPLY, asked)["content"]


@pytest.mark.parametrize(
    ("finished", "reason", "sequence"),
    [
        (Finished("stop"), "end_turn", None),
        (Finished("stop", stop_sequence="END"), "stop_sequence", "END"),
        (Finished("length"), "max_tokens", None),
        (Finished("tool_calls"), "tool_use", None),
        (Finished("content_filter"), "refusal", None),
    ],
)
def test_every_reason_has_its_name(finished: Finished, reason: str, sequence: str | None) -> None:
    events: list[ReplyEvent] = [TextDelta("a"), finished]
    for message in (whole(events), built(events).message):
        assert (message["stop_reason"], message["stop_sequence"]) == (reason, sequence)


def test_a_failure_ends_the_stream_without_pretending_to_be_complete() -> None:
    failed: list[ReplyEvent] = [TextDelta("a"), Failed(UpstreamTimeout("Silence.")), TextDelta("b")]
    error = frame(
        '{"type":"error","error":{"type":"api_error","message":"Silence.","code":"upstream_timeout",'
        '"param":null},"request_id":"req-1"}'
    )
    said = start(0, '{"type":"text","text":""}') + delta(0, '"type":"text_delta","text":"a"')
    assert stream([failed, [TextDelta("c")]]).decode() == OPENING + said + error
    assert renderer(ASKED, HOW).feed([Failed(UpstreamTimeout("Silence."))]).decode() == error


def test_moderation_adds_its_words_to_a_stream_and_replaces_a_message() -> None:
    end: list[ReplyEvent] = [Withdrawn("No more of this."), Finished("content_filter", USAGE)]
    told = [TextDelta("It was"), *end]
    assert built(told).content == [{"type": "text", "text": "It was\n\nNo more of this."}]
    assert whole(told)["content"] == [{"type": "text", "text": "No more of this."}]


def test_nothing_follows_the_end() -> None:
    finished = stream([REPLY])
    assert stream([[*REPLY, TextDelta("b")], REPLY, []]) == finished


def test_a_failed_or_endless_reply_is_raised() -> None:
    endings: list[list[ReplyEvent]] = [[Failed(UpstreamTimeout("x"))], [TextDelta("a")]]
    for events in endings:
        with pytest.raises((UpstreamTimeout, UpstreamProtocolError)):
            whole(events)


def test_a_heartbeat_is_a_ping() -> None:
    assert events_of(HEARTBEAT) == [("ping", {"type": "ping"})]


def test_a_count_is_the_input() -> None:
    assert json.loads(count(7)) == {"input_tokens": 7}


# Streamed as not streamed

WORDS = st.text(max_size=8)
CALL_INPUTS = st.dictionaries(st.text(max_size=3), st.integers(), max_size=2).map(json.dumps)
SAID = st.one_of(
    WORDS.map(TextDelta),
    WORDS.map(ReasoningDelta),
    st.builds(Citation, st.integers(1, 3), st.sampled_from(["u", "v"]), st.just("T"), st.booleans()),
    st.just(ImageMade("https://i/1.png")),
    st.just(Notice("x")),
)


@st.composite
def replies(draw: st.DrawFn) -> list[ReplyEvent]:
    events: list[ReplyEvent] = list(draw(st.lists(SAID, max_size=12)))
    for index, arguments in enumerate(draw(st.lists(CALL_INPUTS, max_size=2))):
        cut = draw(st.integers(0, len(arguments)))
        events += [ToolCallDelta(index, arguments[:cut], f"id{index}", "f")]
        events += [ToolCallDelta(index, arguments[cut:]), *draw(st.lists(SAID, max_size=2))]
    reason = draw(st.sampled_from(get_args(FinishReason)))
    return [*events, Finished(reason, USAGE)]


@given(replies(), st.sampled_from([ASKED, SEARCHING, HIDING, SIGNING]), st.data())
def test_a_stream_builds_the_very_message(
    events: list[ReplyEvent], asked: AskedMessage, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(events)))
    streamed = Built(stream([events[:cut], events[cut:]], asked))
    assert streamed.message == whole(events, asked)
    assert streamed.is_complete
