"""Calls that the upstream's own tool layer took, in every form that was observed (field.md §1.1)."""

from __future__ import annotations

from typing import Any

import pytest

from lib.chat.events import Failed, Finished, InterceptedCall, ReplyEvent, TextDelta
from lib.upstreams.chatglm.decoder.stream import ReplyDecoder
from tests.unit.upstreams.chatglm.decoder.upstream_events import (
    event,
    final_text,
    finish,
    flagged,
    part,
    text,
)

CALL = {"id": "call_1", "name": "todowrite", "arguments": '{"todos":[]}'}
SECOND = {**CALL, "id": "call_2"}
OBJECT = {**CALL, "arguments": {"todos": []}}
UNKNOWN = {"id": "call_1", "content": "unknown tool call"}
TAKEN = InterceptedCall("todowrite", '{"todos":[]}', "call_1")
TAKEN_TOO = InterceptedCall("todowrite", '{"todos":[]}', "call_2")
ANSWERED = InterceptedCall("todowrite", '{"todos":[]}', "call_1", "failed")


def item(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, **fields}


def decode(*chunks: bytes, expects_calls: bool = True) -> list[ReplyEvent]:
    decoder = ReplyDecoder(expects_calls=expects_calls)
    return [told for chunk in chunks for told in decoder.feed(chunk)] + decoder.end()


def taken(events: list[ReplyEvent]) -> list[ReplyEvent]:
    return [event for event in events if isinstance(event, InterceptedCall)]


def called(call: object, *more: dict[str, Any]) -> dict[str, Any]:
    return part("A", item("tool_calls", tool_calls=call), *more)


REFUSED = {"role": "tool", "model": "all-tools", "status": "error"}


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (
            [
                called(CALL),
                {**part("B", item("tool_result", tool_calls=CALL)), **REFUSED},
            ],
            [TAKEN, ANSWERED],
        ),
        (
            [called([CALL, SECOND])],
            [TAKEN, TAKEN_TOO],
        ),
        (
            [called(OBJECT)],
            [InterceptedCall("todowrite", '{"todos": []}', "call_1")],
        ),
        (
            [called({"name": "now", "id": None})],
            [InterceptedCall("now", "{}")],
        ),
        (
            [
                called(
                    CALL,
                    item("tool_result", tool_result=UNKNOWN),
                )
            ],
            [TAKEN, InterceptedCall("", "", "call_1", "unknown tool call")],
        ),
        ([called({})], []),
    ],
    ids=["refused", "a list", "an object", "without an id", "in one part", "an empty mark"],
)
def test_a_call_that_the_upstream_took_is_an_event_and_comes_once(
    parts: list[dict[str, Any]], expected: list[InterceptedCall]
) -> None:
    stream = [flagged(one) for one in parts]
    assert taken(decode(*stream, *stream, finish(part("T", text("ok"))))) == expected
    assert taken(decode(*stream, finish(part("T", text("ok"))), expects_calls=False)) == []


def test_an_answer_of_calls_alone_is_no_empty_answer() -> None:
    events = decode(flagged(called(CALL)), finish())
    assert events == [TAKEN, Finished("stop")]
    assert isinstance(
        decode(flagged(called(CALL)), finish(), expects_calls=False)[-1],
        Failed,
    )


def test_an_error_without_a_reason_after_a_taken_call_is_no_failure() -> None:
    call = flagged(called(CALL))
    assert decode(call, event(status="error", last_error={}))[-1] == Finished("stop")
    assert isinstance(decode(event(status="error", last_error={}))[-1], Failed)
    named = event(status="error", last_error={"error_code": 10025, "err_msg": "x"})
    assert isinstance(decode(call, named)[-1], Failed)


def test_the_text_around_a_taken_call_stays() -> None:
    events = decode(flagged(part("T", text("Now:"))), flagged(called(CALL)), finish())
    assert events[:2] == [TextDelta("Now:"), TAKEN]


def test_a_text_that_is_cut_into_many_parts_is_one_text_where_calls_may_come() -> None:
    pieces = ["<brid", "ge_run>", "\n<tool>now</tool>", "\n</bridge_run>"]
    parts = [part(f"L{number}", text(piece)) for number, piece in enumerate(pieces)]
    assert final_text(decode(*map(flagged, parts), finish())) == "".join(pieces)
    between = flagged(part("S", item("tool_calls", tool_calls={**CALL, "name": "search"})))
    assert final_text(decode(flagged(parts[0]), between, flagged(parts[1]), finish())) == "<brid\nge_run>"
