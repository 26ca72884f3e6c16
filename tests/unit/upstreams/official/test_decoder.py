"""The official API's stream: each case is fed whole, byte by byte, and cut at every position."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from lib.chat.events import (
    Citation,
    Failed,
    Finished,
    ReasoningDelta,
    ReplyEvent,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from lib.upstreams.official.boxes import BoxReader
from lib.upstreams.official.decoder import Decoder

DONE = b"data: [DONE]\n\n"
# The lines 1 to 4 of official.md §4: captures of 2025-10-18, 2026-02-10 and 2025-09-14.
LINE_BREAK = (
    b'data: {"id":"202510181239034578873d49744455","created":1760762344,"model":"glm-4.6","choices":'
    b'[{"index":0,"delta":{"role":"assistant","content":"\\n"}}]}\n\n'
)
THOUGHT = (
    b'data: {"id":"2026021010253871cb1b6ec9e54d6b","created":1770690338,"object":"chat.completion.chunk",'
    b'"model":"glm-4.6","choices":[{"index":0,"delta":{"role":"assistant","reasoning_content":"\\n"}}]}\n\n'
)
CALL = (
    b'data: {"id":"2025091420174501de064dedfa4b68","created":1,"model":"glm-4.5-flash","choices":[{"index":0,'
    b'"finish_reason":"tool_calls","delta":{"tool_calls":[{"id":"call_4BgN84hpTbmswCBFSC9ggw","index":-1,"type":'
    b'"function","function":{"name":"add","arguments":"{\\"a\\": 365, \\"b\\": 96}"}}]}}]}\n\n'
)
CLOSING = (
    b'data: {"id":"2025091420174501de064dedfa4b68","created":1,"model":"glm-4.5-flash","choices":[{"index":0,'
    b'"finish_reason":"tool_calls","delta":{"role":"assistant","content":""}}],"usage":{"prompt_tokens":170,'
    b'"completion_tokens":22,"total_tokens":192,"prompt_tokens_details":{"cached_tokens":43}}}\n\n'
)


def chunk(delta: dict[str, Any] | None = None, reason: str | None = None, **more: Any) -> bytes:
    choice: dict[str, Any] = {"index": 0, "delta": {"role": "assistant", **(delta or {})}}
    if reason is not None:
        choice["finish_reason"] = reason
    return f"data: {json.dumps({'id': 'x', 'model': 'glm-4.6', 'choices': [choice], **more})}\n\n".encode()


def text(words: str, reason: str | None = None, **more: Any) -> bytes:
    return chunk({"content": words}, reason, **more)


def calls(*made: dict[str, Any]) -> bytes:
    return chunk({"tool_calls": list(made)})


def decoded(pieces: Iterable[bytes], *, may_box: bool = False) -> list[ReplyEvent]:
    decoder = Decoder(now=0.0, may_box=may_box)
    events: list[ReplyEvent] = []
    for piece in pieces:
        events += decoder.feed(piece)
    if not decoder.has_ended:
        events += decoder.end()
    return merged(events)


def merged(events: list[ReplyEvent]) -> list[ReplyEvent]:
    """Join texts that touch: a cut may divide them elsewhere."""
    joined: list[ReplyEvent] = []
    for event in events:
        last = joined[-1] if joined else None
        if isinstance(event, TextDelta) and isinstance(last, TextDelta):
            joined[-1] = TextDelta(last.text + event.text)
        elif isinstance(event, ReasoningDelta) and isinstance(last, ReasoningDelta):
            joined[-1] = ReasoningDelta(last.text + event.text)
        else:
            joined.append(event)
    return joined


STOP = Finished("stop")
COUNTED = {
    "prompt_tokens": 3,
    "completion_tokens": 2,
    "completion_tokens_details": {"reasoning_tokens": 1},
}
CASES: list[tuple[str, bytes, list[ReplyEvent]]] = [
    ("words", text("Hel") + text("lo", "stop") + DONE, [TextDelta("Hello"), STOP]),
    ("a line break first", LINE_BREAK + text("Hi", "stop") + DONE, [TextDelta("\nHi"), STOP]),
    ("a thought", THOUGHT + text("Hi", "stop") + DONE, [ReasoningDelta("\n"), TextDelta("Hi"), STOP]),
    (
        "a captured call",
        CALL + CLOSING + DONE,
        [
            ToolCallDelta(0, '{"a": 365, "b": 96}', "call_4BgN84hpTbmswCBFSC9ggw", "add"),
            Finished("tool_calls", Usage(170, 22, 0, 43)),
        ],
    ),
    (
        "a call in fragments",
        calls({"id": "c1", "index": 0, "function": {"name": "f", "arguments": ""}})
        + calls({"index": 0, "function": {"name": "", "arguments": '{"a"'}})
        + calls({"index": 0, "function": {"arguments": ":1}"}})
        + chunk(None, "tool_calls")
        + DONE,
        [
            ToolCallDelta(0, "", "c1", "f"),
            ToolCallDelta(0, '{"a"'),
            ToolCallDelta(0, ":1}"),
            Finished("tool_calls"),
        ],
    ),
    (
        "two calls of the index -1, and arguments as an object",
        calls(
            {"id": "c1", "index": -1, "function": {"name": "f", "arguments": {"a": 1}}},
            {"id": "c2", "index": -1, "function": {"name": "f", "arguments": "{}"}},
        )
        + chunk(None, "stop")
        + DONE,
        [ToolCallDelta(0, '{"a":1}', "c1", "f"), ToolCallDelta(1, "{}", "c2", "f"), Finished("tool_calls")],
    ),
    (
        "a call without an id or an index, and pieces of it",
        calls({"function": {"name": "f", "arguments": "{"}})
        + calls({"function": {"arguments": "}"}})
        + chunk(None, "tool_calls")
        + DONE,
        [ToolCallDelta(0, "{", "call_1", "f"), ToolCallDelta(0, "}"), Finished("tool_calls")],
    ),
    (
        "the reason twice, and null and empty between",
        text("a", "") + b": comment\n\n" + text("b", "stop") + chunk(None, "length") + DONE,
        [TextDelta("ab"), Finished("length")],
    ),
    (
        "sources in any chunk, each once, and none that is no address",
        text("a", web_search=[{"link": "https://x", "title": "X"}, {"link": "javascript:1"}, {}])
        + text("b", "stop", web_search=[{"link": "https://x"}, {"link": "https://y"}])
        + DONE,
        [
            TextDelta("a"),
            Citation(1, "https://x", "X", marked=False),
            TextDelta("b"),
            Citation(2, "https://y", "https://y", marked=False),
            STOP,
        ],
    ),
    ("sensitive", text("a", "sensitive") + DONE, [TextDelta("a"), Finished("content_filter")]),
    ("sensitive, before any word", chunk(None, "sensitive") + DONE, [Finished("content_filter")]),
    (
        "the window is full",
        text("a", "model_context_window_exceeded") + DONE,
        [TextDelta("a"), Finished("length")],
    ),
    ("a reason and no [DONE]", text("a", "stop"), [TextDelta("a"), STOP]),
    ("no line end after the last event", text("a", "stop")[:-2], [TextDelta("a"), STOP]),
    (
        "a chunk without a delta",
        b'data: {"choices":[{}]}\n\n' + text("a", "stop") + DONE,
        [TextDelta("a"), STOP],
    ),
    (
        "sources of another form",
        text("a", web_search=[{"link": 5}, {"link": "https://x", "title": 5}, "https://y", None])
        + text("b", "stop", web_search={"link": "https://z"})
        + DONE,
        [TextDelta("a"), Citation(1, "https://x", "https://x", marked=False), TextDelta("b"), STOP],
    ),
    (
        "a usage of another form",
        text("a", "stop", usage={"prompt_tokens": 3.0, "completion_tokens": None, "prompt_tokens_details": 5})
        + DONE,
        [TextDelta("a"), Finished("stop", Usage(3, 0))],
    ),
    (
        "a usage of impossible numbers",
        text("a", "stop", usage={"prompt_tokens": -1, "completion_tokens": 10**30})
        + text("", usage={"prompt_tokens": 1e400, "completion_tokens": "9"}).replace(b"Infinity", b"1e308")
        + text("", usage=[7])
        + DONE,
        [TextDelta("a"), STOP],
    ),
    (
        "an id and a model of null",
        b'data: {"id":null,"model":null,"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n'
        + DONE,
        [TextDelta("a"), STOP],
    ),
    ("a [DONE] and no reason", text("a") + DONE, [TextDelta("a"), STOP]),
    ("nothing after the end", text("a", "stop") + DONE + text("b"), [TextDelta("a"), STOP]),
    (
        "details of the usage",
        text(
            "a",
            "stop",
            usage={
                "prompt_tokens": 3,
                "completion_tokens": 2,
                "completion_tokens_details": {"reasoning_tokens": 1},
            },
        )
        + DONE,
        [TextDelta("a"), Finished("stop", Usage(3, 2, 1))],
    ),
]


@pytest.mark.parametrize(("raw", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_stream_becomes_events_however_it_is_cut(raw: bytes, expected: list[ReplyEvent]) -> None:
    assert decoded([raw]) == merged(expected)
    assert decoded(raw[i : i + 1] for i in range(len(raw))) == merged(expected)
    for cut in range(1, len(raw), 7):
        assert decoded([raw[:cut], raw[cut:]]) == merged(expected)


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"", 502, "upstream_error"),
        (DONE, 502, "upstream_error"),
        (LINE_BREAK + DONE, 502, "upstream_error"),
        (chunk(None, "stop") + DONE, 502, "upstream_error"),
        (chunk(None, "length") + DONE, 502, "upstream_error"),
        (text("a"), 502, "upstream_error"),
        (text("a", "network_error") + DONE, 502, "upstream_error"),
        (chunk(None, "model_context_window_exceeded") + DONE, 400, "context_length_exceeded"),
        (text("a") + b'data: {"error":{"code":"1261","message":"long"}}\n\n', 400, "context_length_exceeded"),
        (b'data: {"code":1301,"message":"no"}\n\n', 400, "content_filter"),
        (b'data: {"error":[]}\n\n', 502, "upstream_error"),
        (text("a") + b"data: {nonsense\n\n" + text("b", "stop"), 502, "upstream_error"),
        (text("a") + b"data: " + b"x" * (9 * 2**20), 502, "upstream_error"),
    ],
)
def test_an_ending_that_is_a_failure(raw: bytes, status: int, code: str) -> None:
    events = decoded([raw])
    assert isinstance(events[-1], Failed)
    assert (events[-1].error.status, events[-1].error.code) == (status, code)
    assert sum(isinstance(event, Finished | Failed) for event in events) == 1


def test_a_late_last_line_is_no_failure_if_the_reason_was_told() -> None:
    decoder = Decoder(now=0.0)
    decoder.feed(text("a"))
    assert decoder.conclude_if_finished() == []
    decoder.feed(chunk(None, "stop"))
    assert decoder.conclude_if_finished() == [STOP]
    assert decoder.conclude_if_finished() == []


def test_the_answer_is_named_by_its_first_chunk() -> None:
    decoder = Decoder(now=0.0)
    assert decoder.id == ""
    decoder.feed(LINE_BREAK)
    assert (decoder.id, decoder.model) == ("202510181239034578873d49744455", "glm-4.6")


# The marks of vision models

BOXED = "<think>short</think>The answer is <|begin_of_box|>42<|end_of_box|>. 1 < 2 <b> <|x|> <thin"


def test_marks_are_taken_out_however_the_text_is_cut() -> None:
    expected = [ReasoningDelta("short"), TextDelta("The answer is 42. 1 < 2 <b> <|x|> <thin")]
    for size in range(1, len(BOXED) + 1):
        reader = BoxReader()
        events: list[ReplyEvent] = []
        for start in range(0, len(BOXED), size):
            events += reader.feed(BOXED[start : start + size])
        events += reader.finish()
        assert merged(events) == expected


def test_a_box_at_the_end_of_a_stream_is_told_before_the_ending() -> None:
    raw = text("<|begin_of_box|>4") + text("2<|end_of_box|><", "stop") + DONE
    assert decoded([raw], may_box=True) == [TextDelta("42<"), STOP]
