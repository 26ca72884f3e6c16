"""The upstream's stream, of both generations, and the mistakes that other bridges made with it."""

from __future__ import annotations

import json
from itertools import accumulate, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.chat.events import (
    Citation,
    Failed,
    Finished,
    ImageMade,
    Notice,
    ReasoningDelta,
    TextDelta,
    Withdrawn,
)
from lib.errors import (
    AccountBusy,
    ConversationNotFound,
    GatewayError,
    InvalidRequest,
    Throttled,
    UpstreamProtocolError,
    UpstreamRejected,
)
from lib.upstreams.chatglm.decoder.stream import ReplyDecoder
from tests.unit.upstreams.chatglm.decoder.upstream_events import (
    FLAGGED,
    decode,
    event,
    final_text,
    finish,
    flagged,
    part,
    streamed_reasoning,
    streamed_text,
    text,
    think,
)

fragments = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=12)
cuts = st.lists(st.integers(min_value=0, max_value=6000), max_size=20)


def increments(values: list[str], *, flag: bool = True) -> list[bytes]:
    make = flagged if flag else event
    full = "".join(values)
    return [
        make(),
        *(make(part("L1", text(value))) for value in values),
        event(part("L1", text(full), status="finish")),
        finish(part("L1", text(full), status="finish")),
    ]


def snapshots(values: list[str]) -> list[bytes]:
    full = "".join(values)
    return [
        event(),
        *(event(part("L1", text(value))) for value in accumulate(values)),
        event(part("L1", text(full), status="finish")),
        finish(part("L1", text(full), status="finish")),
    ]


def cut_at(stream: bytes, positions: list[int]) -> list[bytes]:
    borders = sorted({0, len(stream), *(position for position in positions if position < len(stream))})
    return [stream[start:end] for start, end in pairwise(borders)]


@given(fragments, cuts)
def test_increments_joined_are_the_text_however_the_bytes_are_cut(
    values: list[str], positions: list[int]
) -> None:
    events = decode(*cut_at(b"".join(increments(values)), positions))
    assert streamed_text(events) == "".join(values) == final_text(events)
    assert isinstance(events[-1], Finished)


@given(fragments, cuts)
def test_snapshots_joined_are_the_text_however_the_bytes_are_cut(
    values: list[str], positions: list[int]
) -> None:
    events = decode(*cut_at(b"".join(snapshots(values)), positions))
    assert streamed_text(events) == "".join(values) == final_text(events)


@given(fragments)
@settings(max_examples=30)
def test_every_byte_by_itself_gives_the_same(values: list[str]) -> None:
    stream = b"".join(increments(values))
    assert streamed_text(decode(*(stream[i : i + 1] for i in range(len(stream))))) == "".join(values)


@given(fragments, fragments)
def test_thought_in_snapshots_and_text_in_increments_are_both_whole(
    thought: list[str], said: list[str]
) -> None:
    stream = [
        event(),
        *(event(part("T", think(value))) for value in accumulate(thought)),
        event(part("T", think("".join(thought)), status="finish")),
        *(flagged(part("L", text(value))) for value in said),
        finish(
            part("T", think("".join(thought)), status="finish"),
            part("L", text("".join(said)), status="finish"),
        ),
    ]
    events = decode(*stream)
    assert streamed_reasoning(events) == "".join(thought)
    assert streamed_text(events) == "".join(said)


def test_the_unflagged_increments_of_2026_09_are_followed() -> None:
    # The order and the statuses of the capture of 2026-09-26.
    values = ["1", ",", " ", "2", ",", " ", "3", ",", " ", "4, 5"]
    events = decode(*increments(values, flag=False))
    assert events == [*map(TextDelta, values), Finished("stop")]


def test_two_equal_neighbours_are_two() -> None:
    assert streamed_text(decode(*increments([",", ",", ",", "a", "a"]))) == ",,,aa"


def test_each_part_is_followed_by_itself() -> None:
    # One global offset for all parts loses the beginning of the second.
    events = decode(
        flagged(part("L1", text("First part, a long one."))),
        flagged(part("L2", text("Second."))),
        event(part("L1", text("First part, a long one."), status="finish")),
        finish(part("L1", text("First part, a long one.")), part("L2", text("Second."), status="finish")),
    )
    assert streamed_text(events) == "First part, a long one.\nSecond."


def test_parts_keep_the_order_of_their_arrival() -> None:
    events = decode(flagged(part("z", text("came first"))), flagged(part("a", text("came second"))), finish())
    assert streamed_text(events) == "came first\ncame second"


def test_a_part_that_goes_on_after_the_next_began_is_told_in_place_at_the_end() -> None:
    events = decode(
        flagged(part("a", text("one "))),
        flagged(part("b", text("two"))),
        flagged(part("a", text("more"))),
        finish(),
    )
    assert streamed_text(events) == "one \ntwomore"  # a stream has it where it came: nothing is lost
    assert final_text(events) == "one more\ntwo"


def test_text_that_only_the_terminal_event_holds_counts() -> None:
    assert (
        streamed_text(decode(event(), finish(part("L1", text("all of it"), status="finish")))) == "all of it"
    )
    late = decode(flagged(part("L1", text("begin"))), finish(part("L1", text("begin, end"), status="finish")))
    assert streamed_text(late) == "begin, end"


@pytest.mark.parametrize("status", ["init", "finish"])
@pytest.mark.parametrize("meta_data", [None, {"if_increase_push": True}])
def test_a_terminal_event_with_contradictory_marks_repeats_nothing(status: str, meta_data: Any) -> None:
    events = decode(
        flagged(part("L1", text("The whole"))),
        flagged(part("L1", text(" text"))),
        event(part("L1", text("The whole text"), status=status), status="finish", meta_data=meta_data),
    )
    assert streamed_text(events) == "The whole text" == final_text(events)


def test_a_rewritten_text_is_noted_and_replaces_what_an_accumulating_client_has() -> None:
    events = decode(
        flagged(part("T", think("hm"))),
        flagged(part("L1", text("The answer is 41."))),
        finish(part("L1", text("The answer is 42."), status="finish")),
    )
    assert streamed_text(events) == "The answer is 41."
    assert final_text(events) == "The answer is 42."
    assert Notice("rewritten") in events


def test_reasoning_is_never_mixed_into_the_answer() -> None:
    events = decode(
        flagged(part("T1", think("first "))),
        flagged(part("T1", think("thought"))),
        flagged(part("T2", think("second"))),
        flagged(part("L", think("beside"), text("Answer"))),
        finish(),
    )
    assert streamed_reasoning(events) == "first thought\nsecond\nbeside"
    assert streamed_text(events) == "Answer"


def test_parts_without_a_logic_id_follow_each_other_in_one_place() -> None:
    # The fixture of a capture tool: thought in snapshots, a search, a text, each the only part of its event.
    page = {"title": "Weather", "url": "https://example.com/w"}
    events = decode(
        event(part(None, think("拆解用户请求"))),
        event(part(None, think("拆解用户请求：今天深圳天气"))),
        event(part(None, {"type": "tool_calls", "tool_calls": {"name": "search", "arguments": "{}"}})),
        event(
            part(
                None,
                {"type": "tool_result"},
                status="finish",
                meta_data={"tool_result_extra": {"search_results": [page]}},
            )
        ),
        event(part(None, text("好的，深圳今天"))),
        event(part(None, text("好的，深圳今天多云。"), status="finish", model="glm-4"), status="finish"),
    )
    assert streamed_reasoning(events) == "拆解用户请求：今天深圳天气"
    assert streamed_text(events) == "好的，深圳今天多云。"
    assert [e for e in events if isinstance(e, Citation)] == [
        Citation(1, "https://example.com/w", "Weather", marked=False)
    ]
    assert events[-1] == Finished("stop")


def test_finished_parts_without_a_logic_id_are_told_apart_and_repeated_ones_are_not() -> None:
    events = decode(
        event(part(None, think("thought"), status="finish")),
        event(part(None, text("begun"))),
        finish(
            part(None, think("thought"), status="finish"), part(None, text("begun, ended"), status="finish")
        ),
    )
    assert streamed_reasoning(events) == "thought"
    assert streamed_text(events) == "begun, ended"


def test_a_part_that_only_the_terminal_event_has_is_new() -> None:
    events = decode(event(part(None, text("One."), status="finish")), finish(part("L", text("Two."))))
    assert streamed_text(events) == "One.\nTwo."
    other = decode(event(part(None, text("One."))), finish(part(None, think("hm")), part(None, text("Two."))))
    assert streamed_text(other) == "One.\nTwo."


def test_a_second_text_in_the_same_place_begins_a_line() -> None:
    events = decode(
        event(part(None, text("One."), status="finish")), event(part(None, text("Two."))), finish()
    )
    assert streamed_text(events) == "One.\nTwo."


def test_a_failed_server_side_tool_is_not_a_failed_answer() -> None:
    events = decode(
        event(part("S", text("no text of the answer"), role="tool", status="error")),
        flagged(part("L", text("Without it, then."))),
        finish(),
    )
    assert events == [Notice("tool_failed"), TextDelta("Without it, then."), Finished("stop")]


def test_code_and_its_output_are_fenced_longer_than_what_they_hold() -> None:
    events = decode(
        flagged(part("L1", text("Look:"))),
        flagged(part("C", {"type": "code", "code": 'print("'})),
        flagged(part("C", {"type": "code", "code": '```")\n'})),
        event(part("C", {"type": "code", "code": 'print("```")\n'}, status="finish")),
        event(part("O", {"type": "execution_output", "content": "```"}, status="finish")),
        flagged(part("L2", text("[file](sandbox:/mnt/data/x.csv)"))),
        finish(),
    )
    assert streamed_text(events) == (
        'Look:\n````python\nprint("```")\n````\n````\n```\n````\n[file](sandbox:/mnt/data/x.csv)'
    )
    assert final_text(events) == streamed_text(events)


def test_code_that_nothing_finishes_is_told_at_the_end() -> None:
    events = decode(flagged(part("C", {"type": "code", "code": "x = 1"})), finish())
    assert streamed_text(events) == "```python\nx = 1\n```\n"


def test_code_and_images_are_retold_with_a_rewritten_text() -> None:
    image = {
        "type": "image",
        "image": [{"image_url": "https://sfile.example/h_0_0.jpg"}],
        "code": "a red cat",
    }
    events = decode(
        event(part("C", {"type": "code", "code": "x = 1"}, status="finish")),
        event(part("I", image)),
        event(part("I", image)),
        flagged(part("L", text("wrong"))),
        finish(part("L", text("right"), status="finish")),
    )
    assert events.count(ImageMade("https://sfile.example/h_0_0.jpg", prompt="a red cat")) == 1
    assert final_text(events) == ("```python\nx = 1\n```\n![image](https://sfile.example/h_0_0.jpg)\nright")


def test_images_come_once_each_and_in_whatever_order() -> None:
    def image(number: int) -> dict[str, Any]:
        return {"type": "image", "image": [{"image_url": f"https://sfile.example/h_{number}_0.jpg"}, 7, {}]}

    events = decode(
        event(part("L1", text(""))),
        *(event(part("L1", image(number))) for number in (3, 0, 1, 2, 1)),
        finish(part("L1", {"type": "one_to_more_finish", "image": [{}]}, status="finish")),
    )
    urls = [told.url for told in events if isinstance(told, ImageMade)]
    assert urls == [f"https://sfile.example/h_{number}_0.jpg" for number in (3, 0, 1, 2)]
    assert events[-1] == Finished("stop")


def test_sources_of_both_generations_are_cited_over_fragment_borders() -> None:
    old = part(
        "Q",
        {"type": "quote_result"},
        meta_data={
            "metadata_list": [{"type": "webpage", "title": "One", "url": "https://one.example", "text": ""}]
        },
    )
    new = part(
        "S",
        {"type": "tool_result"},
        meta_data={
            "tool_result_extra": {
                "search_results": [
                    {"title": "Two", "url": "https://two.example", "match_key": "turn0search3"},
                    {"title": 5, "url": 7},
                ]
            }
        },
    )
    events = decode(
        event(old),
        event(new),
        flagged(part("L", text("See【1†so"))),
        flagged(part("L", text("urce】 and 【turn0se"))),
        flagged(part("L", text("arch3】."))),
        finish(part("L", text("See【1†source】 and 【turn0search3】."), status="finish")),
    )
    assert events == [
        TextDelta("See"),
        Citation(1, "https://one.example", "One"),
        TextDelta(" and "),
        Citation(2, "https://two.example", "Two"),
        TextDelta("."),
        Finished("stop"),
    ]


def test_junk_between_the_events_is_passed_over() -> None:
    events = decode(
        b"data:\n\n: comment\n\ndata: [DONE]\n\ndata: not json\n\ndata: []\n\ndata: \xff\n\n",
        flagged(part("L", text("text"))),
        b'data: {"parts": "none", "status": 7}\n\n',
        b"data:  "
        + json.dumps({"parts": None, "status": "processing", "new_field": {}}).encode()
        + b"\r\n\r\n",
        finish(),
    )
    assert events == [TextDelta("text"), Finished("stop")]


def test_what_is_well_formed_of_a_strange_event_counts() -> None:
    odd = {
        "id": 7,
        "conversation_id": "c1",
        "status": "init",
        "parts": [
            "x",
            {"logic_id": "L", "content": [{"type": "text", "text": 5}, {"type": "text", "text": "read"}]},
            {"logic_id": "M", "content": None, "meta_data": {"metadata_list": "none"}},
        ],
        "meta_data": "none",
    }
    decoder = ReplyDecoder()
    assert decoder.feed(b"data: " + json.dumps(odd).encode() + b"\n\n") == [TextDelta("read")]
    assert (decoder.conversation_id, decoder.history_id) == ("c1", "")


def test_unknown_items_are_ignored() -> None:
    events = decode(
        event(part("X", {"type": "mcp_call", "payload": 1}, {"type": "video"}, {"type": "browser_result"})),
        flagged(part("L", {"type": "ppt"}, text("text"))),
        finish(),
    )
    assert events == [TextDelta("text"), Finished("stop")]


@pytest.mark.parametrize("name", ["last_error", "error"])
@pytest.mark.parametrize(
    ("code", "words", "kind", "error_code"),
    [
        (10025, "stream request error", UpstreamRejected, "upstream_error"),
        (10024, "generator exit", UpstreamRejected, "upstream_error"),
        (10040, "too long", InvalidRequest, "context_length_exceeded"),
        (10061, "请等待其他对话生成完毕", AccountBusy, "account_busy"),
        (10061, "请求过于频繁，请稍后再试", Throttled, "rate_limit_exceeded"),
        (10062, "请求过于频繁，请稍后再试", Throttled, "rate_limit_exceeded"),
        ("odd", None, UpstreamRejected, "upstream_error"),
    ],
)
def test_an_error_event_is_never_a_stop(
    name: str, code: Any, words: Any, kind: type[GatewayError], error_code: str
) -> None:
    said = {name: {"error_code": code, "err_msg": words}}
    events = decode(flagged(part("L", text("half"))), event(status="error", **said))
    assert events[0] == TextDelta("half")
    failed = events[-1]
    assert isinstance(failed, Failed)
    assert type(failed.error) is kind
    assert failed.error.code == error_code


def test_an_error_without_words_is_one_too() -> None:
    failed = decode(event(status="error", last_error=None))[-1]
    assert isinstance(failed, Failed)
    assert "did not explain it" in failed.error.message


def test_an_early_close_is_never_a_stop() -> None:
    events = decode(flagged(part("L", text("half 【"))))
    assert streamed_text(events) == "half 【"  # what was held back is not lost
    failed = events[-1]
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, UpstreamProtocolError)


def test_an_event_that_only_the_close_ends_counts() -> None:
    assert decode(finish(part("L", text("all"), status="finish")).rstrip()) == [
        TextDelta("all"),
        Finished("stop"),
    ]


def test_a_stream_of_no_bytes_means_an_unknown_conversation() -> None:
    (failed,) = ReplyDecoder(continues_conversation=True).end()
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, ConversationNotFound)
    (failed,) = ReplyDecoder().end()
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, UpstreamProtocolError)


@pytest.mark.parametrize(
    "said",
    [(), (part("T", think("I must not")),), (part("L", text("")),)],
    ids=["nothing", "reasoning", "empty text"],
)
def test_a_finish_without_an_answer_is_an_error(said: tuple[dict[str, Any], ...]) -> None:
    failed = decode(event(), flagged(*said), finish())[-1]
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, UpstreamRejected)


def test_a_system_error_of_2024_gives_the_reason() -> None:
    failed = decode(event(part("E", {"type": "system_error", "content": "quota used up"})), finish())[-1]
    assert isinstance(failed, Failed)
    assert "quota used up" in failed.error.message


def test_an_intervention_withdraws_the_answer_and_shows_its_own_text() -> None:
    events = decode(
        flagged(part("L", text("To be withdrawn"))),
        event(status="intervene", last_error={"intervene_text": "Let us talk of something else."}),
    )
    assert streamed_text(events) == "To be withdrawn"
    assert events[-2] == Withdrawn("Let us talk of something else.")
    assert final_text(events) == "Let us talk of something else."
    assert events[-1] == Finished("content_filter")


def test_an_intervention_without_words_withdraws_all_the_same() -> None:
    events = decode(flagged(part("L", text("gone"))), event(status="intervene", last_error={}))
    assert final_text(events) == ""
    assert events[-1] == Finished("content_filter")


def test_nothing_counts_after_the_end() -> None:
    decoder = ReplyDecoder()
    decoder.feed(flagged(part("L", text("text"))))
    assert decoder.feed(finish() + finish())[-1] == Finished("stop")
    assert decoder.feed(flagged(part("L", text("late")))) == []
    assert decoder.end() == []


def test_the_ids_and_the_model_are_known_with_the_first_events() -> None:
    decoder = ReplyDecoder()
    assert not decoder.accepted
    decoder.feed(flagged())
    assert (decoder.accepted, decoder.conversation_id, decoder.history_id) == (True, "c1", "h1")
    decoder.feed(flagged(part("L", text("x"), model="moe_53f")))
    assert decoder.model == "moe_53f"


def test_an_interrupted_reply_gives_what_it_held_back() -> None:
    decoder = ReplyDecoder()
    assert decoder.feed(flagged(part("L", text("half 【a")))) == [TextDelta("half ")]
    assert decoder.interrupt() == [TextDelta("【a")]
    assert not decoder.upstream_ended


def test_doubtful_values_are_told_before_another_part_begins() -> None:
    events = decode(
        event(part("T", think("ab"))), event(part("T", think("abc"))), event(part("L", text("x"))), finish()
    )
    assert events == [ReasoningDelta("ab"), ReasoningDelta("c"), TextDelta("x"), Finished("stop")]


def test_work_per_event_does_not_grow_with_the_answer() -> None:
    """Counted, not timed: what the decoder keeps of increments is their text and no copies of it."""
    decoder = ReplyDecoder()
    for _ in range(2000):
        decoder.feed(flagged(part("L", text("0123456789"))))
    (block,) = decoder._blocks
    assert sum(map(len, block.followed._fragments)) == 20_000


def test_an_emoji_that_is_cut_over_two_increments_is_whole() -> None:
    def raw(half: str) -> bytes:
        made = {"logic_id": "L", "status": "init", "content": [{"type": "text", "text": half}]}
        return (
            b"data: "
            + json.dumps({"parts": [made], "meta_data": {"if_increase_push": True}}).encode()
            + b"\n\n"
        )

    events = decode(raw("Hi \ud83d"), raw("\ude00!"), finish(part("L", text("Hi 😀!"), status="finish")))
    assert streamed_text(events) == "Hi 😀!" == final_text(events)
    assert streamed_text(decode(raw("a\ude00b"), finish())) == "a\ufffdb"


def test_half_a_character_in_a_field_that_nobody_reads_loses_nothing() -> None:
    page = {"title": "W", "url": "https://w.example", "match_key": "turn0search0", "snippet": "cut \ud83d"}
    made = {"logic_id": "S", "content": [], "meta_data": {"tool_result_extra": {"search_results": [page]}}}
    found = b"data: " + json.dumps({"parts": [made]}).encode() + b"\n\n"
    events = decode(found, flagged(part("L", text("See turn0search0."))), finish())
    assert Citation(1, "https://w.example", "W") in events


def test_a_reply_that_is_ended_early_is_told_with_its_changes_and_its_sources() -> None:
    decoder = ReplyDecoder()
    meta = {"tool_result_extra": {"search_results": [{"title": "W", "url": "https://w.example"}]}}
    decoder.feed(event(part("S", {"type": "tool_result"}, meta_data=meta)))
    decoder.feed(flagged(part("L", text("draft"))))
    decoder.feed(event(part("L", text("final"), status="finish")))
    told = decoder.conclude()
    assert final_text(told) == "final"
    assert Citation(1, "https://w.example", "W", marked=False) in told


def test_half_a_character_is_told_to_nobody() -> None:
    # What cannot be written as UTF-8 would break the answer off; only an increment's other half may follow.
    page = {"title": "cut \ud83d", "url": "https://w.example/\ud83d"}
    image = {"type": "image", "code": "a \ud83d", "image": [{"image_url": "https://i.example/\ud83d"}]}
    sent = {
        "id": "h\ud83d",
        "conversation_id": "c\ud83d",
        "parts": [{"\ud83d": "", "content": [image, {"\ud83d": 1}], "meta_data": {"metadata_list": [page]}}],
        "status": "finish",
    }
    decoder = ReplyDecoder()
    told = decoder.feed(b"data: " + json.dumps(sent).encode() + b"\n\n")
    assert told[0] == ImageMade("https://i.example/\ufffd", prompt="a \ufffd")
    assert Citation(1, "https://w.example/\ufffd", "cut \ufffd", marked=False) in told
    assert (decoder.conversation_id, decoder.history_id) == ("c\ufffd", "h\ufffd")


@pytest.mark.parametrize(
    "sent",
    [
        {"status": "error", "last_error": {"error_code": 10025, "err_msg": "cut \ud83d"}},
        {"status": "finish", "parts": [{"content": [{"type": "system_error", "content": "cut \ud83d"}]}]},
    ],
)
def test_half_a_character_is_not_told_in_an_error_either(sent: dict[str, Any]) -> None:
    (failed,) = decode(b"data: " + json.dumps(sent).encode() + b"\n\n")
    assert isinstance(failed, Failed)
    assert "cut \ufffd" in failed.error.message


def test_half_a_character_is_not_told_by_moderation_either() -> None:
    sent = {"status": "intervene", "last_error": {"intervene_text": "cut \ud83d"}}
    assert final_text(decode(b"data: " + json.dumps(sent).encode() + b"\n\n")) == "cut \ufffd"


@pytest.mark.parametrize("flag", [FLAGGED, {}], ids=["flagged", "unflagged"])
def test_a_part_that_ends_with_its_thought_and_its_text_at_two_indexes_gives_each_once(
    flag: dict[str, Any],
) -> None:
    both = part("L", think("Hm, weather."), text("It is sunny."), status="finish")
    for ending in ([event(both), finish()], [finish(both)], [event(both), finish(both)]):
        events = decode(
            event(part("L", think("Hm,")), meta_data=flag),
            event(part("L", think(" weather.")), meta_data=flag),
            event(part("L", text("It is")), meta_data=flag),
            event(part("L", text(" sunny")), meta_data=flag),
            *ending,
        )
        assert streamed_reasoning(events) == "Hm, weather."
        assert streamed_text(events) == final_text(events) == "It is sunny."


def test_two_texts_of_a_part_are_two_although_one_begins_like_the_other() -> None:
    both = part("L", text("Sun"), text("Sunday"), status="finish")
    assert final_text(decode(flagged(part("L", text("Sun"))), event(both), finish())) == "Sun\nSunday"
