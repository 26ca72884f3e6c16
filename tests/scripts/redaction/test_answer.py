"""A redacted answer: nothing of it can be read, and everything about it is decoded as before."""

from __future__ import annotations

import json
from random import Random
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.chat.events import (
    Citation,
    Failed,
    ImageMade,
    Notice,
    ReasoningDelta,
    ReplyEvent,
    Rewritten,
    TextDelta,
)
from lib.upstreams.chatglm.decoder.stream import ReplyDecoder
from scripts.support.redaction.answer import Redacted, redact
from simulator.scenes import SCENES
from simulator.steps import Cue, Split, frame

SECRET = "Qwertzuiop"
SECRET_CHINESE = "秘密口令"
STREAMED = [name for name, entry in SCENES.items() if entry.ending != "http"]


def make(body: bytes, seed: int = 1) -> Redacted:
    redacted = redact(body, Random(seed))
    assert len(redacted.body) == len(body)
    return redacted


def scene(name: str, **args: str) -> bytes:
    cue = Cue(prompt=f"{SECRET} {SECRET_CHINESE}", args=args, chat_mode="thinking")
    return b"".join(_bytes_of(step, cue) for step in SCENES[name].play(cue))


def _bytes_of(step: Any, cue: Cue) -> bytes:
    match step:
        case bytes():
            return step
        case dict():
            return frame(cue.complete(step))
        case Split():
            return step.data
    return b""


def decoded(body: bytes) -> list[ReplyEvent]:
    decoder = ReplyDecoder()
    events = decoder.feed(body)
    return events if decoder.ended else [*events, *decoder.end()]


def size(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass"))


def outline(events: list[ReplyEvent]) -> dict[str, Any]:
    """What must be the same of an answer and of its capture."""
    ending = events[-1]
    return {
        "text": sum(size(event.text) for event in events if isinstance(event, TextDelta)),
        "reasoning": sum(size(event.text) for event in events if isinstance(event, ReasoningDelta)),
        "sources": [(e.number, e.marked) for e in events if isinstance(e, Citation)],
        "images": sum(isinstance(event, ImageMade) for event in events),
        "notices": [event.kind for event in events if isinstance(event, Notice)],
        "rewritten": [outline([*event.events, ending]) for event in events if isinstance(event, Rewritten)],
        "ending": (
            (type(ending.error), ending.error.code, ending.error.number, ending.error.retry)
            if isinstance(ending, Failed)
            else ending
        ),
    }


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", STREAMED)
def test_every_scene_is_decoded_as_before(name: str, seed: int) -> None:
    body = scene(name, chars="1000", count="100")
    redacted = make(body, seed).body
    assert outline(decoded(redacted)) == outline(decoded(body))


@pytest.mark.parametrize("name", STREAMED)
def test_no_word_of_a_scene_is_left(name: str) -> None:
    body = scene(name, chars="1000", count="100")
    words = {
        word
        for event in decoded(body)
        if isinstance(event, TextDelta | ReasoningDelta)
        for word in event.text.split()
        if sum(character.isalpha() for character in word) > 4 and "turn" not in word and "http" not in word
    } - {"model", "event", "search", "conversation"}  # names of fields, too
    redacted = make(body).body.decode("utf-8", "replace")
    assert not [word for word in words if word in redacted]


# What is hidden


def event_of(*parts: dict[str, Any], **fields: Any) -> bytes:
    return frame(
        {"id": "a" * 24, "conversation_id": "b" * 24, "parts": list(parts), "status": "init"} | fields
    )


def part(*items: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"id": "a" * 24, "logic_id": "l-1", "role": "assistant", "content": list(items)} | fields


PLACES: dict[str, Any] = {
    "text": lambda secret: part({"type": "text", "text": secret}),
    "think": lambda secret: part({"type": "think", "think": secret}),
    "code": lambda secret: part({"type": "code", "code": secret}),
    "execution_output": lambda secret: part({"type": "execution_output", "content": secret}),
    "browser_result": lambda secret: part({"type": "browser_result", "content": json.dumps([{"t": secret}])}),
    "system_error": lambda secret: part({"type": "system_error", "content": secret}),
    "arguments": lambda secret: part(
        {"type": "tool_calls", "tool_calls": {"name": "search", "arguments": json.dumps({"q": secret})}}
    ),
    "title": lambda secret: part(meta_data={"metadata_list": [{"title": secret, "text": secret}]}),
    "snippet": lambda secret: part(
        meta_data={"tool_result_extra": {"search_results": [{"snippet": secret, "host_name": secret}]}}
    ),
    "url": lambda secret: part(
        meta_data={"metadata_list": [{"url": f"https://{secret}.com/{secret}?q={secret}"}]}
    ),
    "image_url": lambda secret: part({"type": "image", "image": [{"image_url": f"https://x/{secret}.jpg"}]}),
    "a prompt": lambda secret: part({"type": "image", "image": [], "code": secret}),
    "a file": lambda secret: part({"type": "file", "file": [{"file_name": secret, "name": secret}]}),
    "a failed tool": lambda secret: part(
        {"type": "tool_result", "text": secret}, role="tool", status="error"
    ),
    "nickname": lambda secret: part(nickname=secret),
    "model": lambda secret: part(model=f"{secret} the {secret}"),
    "an unknown type": lambda secret: part({"type": "ppt", "ppt": {"pages": [[secret], secret]}}),
    "an unknown field": lambda secret: part(tomorrow={"deep": [{"deeper": secret}]}),
    "the name of a field": lambda secret: part({secret: 1, f"{secret}.pdf": {}}),
    "the type of an item": lambda secret: part({"type": f"of {secret}"}),
    "what is no list": lambda secret: part(content=secret),
    "what is no part": lambda secret: secret,
}


@pytest.mark.parametrize("secret", [SECRET, SECRET_CHINESE, "0176 1234567", "Grüße🎉É"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("escaped", [False, True])
def test_what_was_said_is_not_in_it(place: str, secret: str, *, escaped: bool) -> None:
    event = json.loads(event_of().partition(b"data: ")[2]) | {"parts": [PLACES[place](secret)]}
    body = b"data: " + json.dumps(event, ensure_ascii=escaped).encode() + b"\n\n"
    redacted = make(body).body
    known = json.dumps(json.loads(redacted.partition(b"data: ")[2]), ensure_ascii=False)
    for told in (secret, *secret.split()):
        assert told not in known


@pytest.mark.parametrize(
    "fields",
    [
        {"last_error": {"intervene_text": SECRET}},
        {"last_error": {"error_code": 10025, "err_msg": f"{SECRET} is sensitive"}},
        {"error": {"error_code": 10025, "message": SECRET}},
        {"meta_data": {"draft": SECRET, "channel": f"{SECRET} {SECRET}"}},
        {SECRET: 1},
    ],
)
def test_what_is_said_around_the_parts_is_not_in_it_either(fields: dict[str, Any]) -> None:
    assert SECRET.encode() not in make(event_of(**fields)).body


@pytest.mark.parametrize(
    "body",
    [
        f"data: {SECRET}\n\n".encode(),
        f": {SECRET}\n\n".encode(),
        f"event: {SECRET}\n{SECRET}: x\nid: {SECRET}\n\n".encode(),
        f'data: {{"text": "{SECRET}\n\n'.encode(),  # cut
        f'data: "{SECRET}"\n\n'.encode(),
        f'data: ["{SECRET}", 7, null]\n\n'.encode(),
        f'data: {{"a":"\\ud83d {SECRET}"}}\n\n'.encode(),
        f'data: {{"x": \xff"{SECRET}"}}\n\n'.encode("latin-1"),
        f"<html><title>{SECRET}</title>".encode(),
        f'{{"status": 1, "message": "{SECRET}", "result": {{"token": "{SECRET}"}}}}'.encode(),
        b'{"a":' * 3000 + f'"{SECRET}"'.encode(),
        b"[" * 100_000 + SECRET.encode(),
        f"\xef\xbb\xbfdata: {SECRET}".encode("latin-1"),
        f"C:\\new\\table {SECRET}".encode(),
    ],
)
def test_what_is_no_event_is_not_in_it_either(body: bytes) -> None:
    assert SECRET.encode() not in make(body).body


def test_a_character_that_is_cut_tells_nothing() -> None:
    whole = f'data: {{"text": "{SECRET_CHINESE}'.encode()
    for cut in range(16, len(whole)):
        redacted = make(whole[:cut]).body
        assert not set(SECRET_CHINESE) & set(redacted.decode("utf-8", "replace"))
        assert b"\xa7" not in redacted[15:], "the first half of a character"
    assert make("data: 秘".encode()[:-1] + b"\n\n").body == b"data: \x80\x80\n\n"


def test_it_is_no_cipher() -> None:
    """One word, said a hundred times, is never the same word for long."""
    words = [part({"type": "text", "text": " the"}, status="init") for _ in range(100)]
    body = b"".join(event_of(word, meta_data={"if_increase_push": True}) for word in words)
    told = [event.text for event in decoded(make(body).body) if isinstance(event, TextDelta)]
    assert len(set(told)) > 90
    assert all(word[0] == " " and word[1:].isalpha() for word in told)


def test_letters_in_a_field_that_nobody_knows_are_no_cipher() -> None:
    text = "a secret that is told letter by letter, a secret"
    body = b"".join(event_of(part(tomorrow=letter)) for letter in text)
    lines = make(body).body.splitlines()
    told = [json.loads(line[6:])["parts"][0]["tomorrow"] for line in lines if line.startswith(b"data: ")]
    assert [letter.isalpha() for letter in told] == [letter.isalpha() for letter in text]
    for letter in "aet":
        assert len({new for new, old in zip(told, text, strict=True) if old == letter}) > 2


def test_a_long_value_is_the_same_each_time() -> None:
    title = f"{SECRET} and {SECRET}"
    [event] = [json.loads(make(event_of(part(a=title, b=title))).body.partition(b"data: ")[2])]
    assert event["parts"][0]["a"] == event["parts"][0]["b"] != title


def test_many_texts_take_no_time_that_grows_with_their_square() -> None:
    """Each new one of a terminal event is compared with those before it."""

    def took(count: int) -> float:
        items = [part({"type": "text", "text": f"{n:06} text"}, logic_id=None) for n in range(count)]
        body = event_of(*items, status="finish")
        began_at = process_time()
        make(body)
        return process_time() - began_at

    assert took(4000) < 7 * took(1000) + 0.3


def test_long_numbers_are_nobodys() -> None:
    body = b'data: {"size":1234567,"card":-1234.5678,"code":10025,"ms":6.71,"on":true,"null":null}\n\n'
    assert make(body).body == (
        b'data: {"size":1111111,"card":-1111.1111,"code":10025,"ms":6.71,"on":true,"null":null}\n\n'
    )


# What is kept


def test_the_framing_is_kept_to_the_byte() -> None:
    lines = [
        "event: message",
        'data:{"a":1}',
        "",
        'data:   {"a":1}\r',
        "\r",
        "data:",
        "data: ",
        "data",
        "id: 7",
    ]
    lines += ["retry: 1000", "", ":", "", 'data: {"status" : "init" ,\t"x":[ ] }', "", ""]
    body = "\n".join(lines).encode()
    assert make(body).body == body
    assert make(b"").body == b""


def test_what_the_upstream_says_of_itself_is_kept() -> None:
    told = part({"type": "tool_calls", "tool_calls": {"name": "search"}}, status="finish", model="moe_53f")
    reason = {"error_code": 10061, "err_msg": "请等待其他对话生成完毕"}
    body = event_of(told, last_error=reason, meta_data={"if_increase_push": False}, status="error")
    redacted = json.loads(make(body).body.partition(b"data: ")[2])
    assert redacted["last_error"] == reason
    assert redacted["parts"][0]["content"] == told["content"]
    assert (redacted["parts"][0]["model"], redacted["status"]) == ("moe_53f", "error")


def test_what_tells_one_refusal_from_another_is_kept() -> None:
    reason = {"error_code": 10061, "err_msg": f"{SECRET}其他对话"}
    body = event_of(status="error", last_error=reason)
    assert outline(decoded(make(body).body)) == outline(decoded(body))


def test_ids_are_renamed_alike_and_apart() -> None:
    ids = [f"{number + 0xABCDEF:024x}" for number in range(300)]
    body = b"".join(frame({"conversation_id": ids[0], "id": name, "x_id": "L1", "rid": name}) for name in ids)
    redacted = make(body)
    events = [json.loads(line[6:]) for line in redacted.body.splitlines() if line.startswith(b"data")]
    assert {event["conversation_id"] for event in events} == {redacted.conversation_id}
    assert events[0]["id"] == redacted.history_id == redacted.conversation_id
    assert len({event["id"] for event in events}) == 300
    assert all(event["id"] == event["rid"] and event["x_id"] == "L1" for event in events)
    assert not {event["id"] for event in events} & set(ids)


@pytest.mark.parametrize(
    "name",
    ["c0ffee00-0000-4000-8000-000000000001", "又一段。", "Grüße 1", "🌍🌎🌏", "abcd", "\\u4e16\\u754c id"],
)
def test_an_id_of_any_shape_keeps_it(name: str) -> None:
    body = f'data: {{"id":"{name}","logic_id":"{name}"}}\n\n'.encode()
    redacted = json.loads(make(body).body[6:])
    assert redacted["id"] == redacted["logic_id"] != json.loads(f'"{name}"')
    assert [c.isalnum() for c in redacted["id"]] == [c.isalnum() for c in json.loads(f'"{name}"')]


def test_addresses_stay_apart_and_images_in_their_order() -> None:
    urls = [f"https://sfile.chatglm.cn/testpath/{SECRET}_{number}_0.jpg" for number in (3, 0, 1)]
    images = [part({"type": "image", "image": [{"image_url": url}]}) for url in [*urls, urls[0]]]
    made = [e.url for e in decoded(make(event_of(*images)).body) if isinstance(e, ImageMade)]
    assert [url[-8:] for url in made] == ["_3_0.jpg", "_0_0.jpg", "_1_0.jpg"]
    assert all(url.startswith("https://") for url in made)


@pytest.mark.parametrize("step", range(1, 20))
def test_a_marker_may_be_cut_anywhere(step: int) -> None:
    results = [{"url": f"https://x/{n}", "title": "x", "match_key": f"turn0search{n}"} for n in range(3)]
    text = "多云【turn0search2】, or turn0search0. 【注意】 【12†source】 turn9search9"
    body = event_of(part(meta_data={"tool_result_extra": {"search_results": results}}))
    for start in range(0, len(text), step):
        piece = part({"type": "text", "text": text[start : start + step]}, logic_id="text", status="init")
        body += event_of(piece, meta_data={"if_increase_push": True})
    last = part({"type": "text", "text": text}, logic_id="text", status="finish")
    body += event_of(last, status="finish")
    events = decoded(make(body).body)
    assert outline(events) == outline(decoded(body))
    assert [e.number for e in events if isinstance(e, Citation)] == [1, 2]


def snapshots(values: list[str], **fields: Any) -> bytes:
    events = (event_of(part({"type": "text", "text": value}, status="init"), **fields) for value in values)
    last = part({"type": "text", "text": values[-1]}, status="finish")
    return b"".join(events) + event_of(last, status="finish")


def increments(values: list[str], **fields: Any) -> bytes:
    events = (event_of(part({"type": "text", "text": value}, status="init"), **fields) for value in values)
    last = part({"type": "text", "text": "".join(values)}, status="finish")
    return b"".join(events) + event_of(last, status="finish")


TEXTS = st.lists(
    st.text(st.sampled_from("ab 好。1,\U0001f600é"), min_size=1, max_size=6), min_size=1, max_size=8
)


@given(TEXTS, st.integers(0, 1000))
def test_flagged_increments_stay_pieces_of_their_snapshot(values: list[str], seed: int) -> None:
    body = increments(values, meta_data={"if_increase_push": True})
    assert outline(decoded(make(body, seed).body)) == outline(decoded(body))


@given(TEXTS, st.integers(0, 1000))
def test_snapshots_go_on_from_each_other(values: list[str], seed: int) -> None:
    grown = ["".join(values[: end + 1]) for end in range(len(values))]
    body = snapshots(grown, meta_data={"if_increase_push": False})
    assert outline(decoded(make(body, seed).body)) == outline(decoded(body))


@pytest.mark.parametrize(
    "values",
    [
        ["好", "好", "好", "，", "吗"],
        ["1", "12", "123", " and"],
        ["=", "==", "===", "a"],
        ["The", "The", " end"],
        ["a long beginning of it all, ", "and", " and", " more"],
        ["x", "xy", "xyz", "xyzzy, and then some more of it"],
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_what_is_not_flagged_is_guessed_as_before(values: list[str], seed: int) -> None:
    body = increments(values)
    assert outline(decoded(make(body, seed).body)) == outline(decoded(body))
    body = snapshots(values)
    assert outline(decoded(make(body, seed).body)) == outline(decoded(body))


@given(
    st.lists(
        st.tuples(st.text(st.sampled_from("ab好\U0001f600")), st.sampled_from([True, False, None])),
        max_size=8,
    ),
    st.sampled_from(["init", "finish", None]),
    st.integers(0, 99),
)
def test_contradictory_values_do_no_harm(
    values: list[tuple[str, bool | None]], status: str | None, seed: int
) -> None:
    body = b"".join(
        event_of(part({"type": "text", "text": value}, status=status), meta_data={"if_increase_push": flag})
        for value, flag in values
    )
    for line in make(body, seed).body.splitlines():
        if line.startswith(b"data: "):
            json.loads(line[6:])


def test_a_text_that_is_rewritten_is_so_before_anybody_can_tell() -> None:
    values = ["a", "ab", "no, that was wrong: all of it"]
    body = snapshots(values[:2]) + event_of(
        part({"type": "text", "text": values[2]}, status="finish"), status="finish"
    )
    assert outline(decoded(make(body).body)) == outline(decoded(body))


def test_a_pair_of_halves_may_be_cut_in_two() -> None:
    texts = ["a \\ud83d", "\\udc4b b"]
    pieces = [
        event_of(part({"type": "text", "text": "@"}, status="init"), meta_data={"if_increase_push": True})
    ]
    body = b"".join(pieces[0].replace(b'"@"', f'"{text}"'.encode()) for text in texts)
    body += event_of(part({"type": "text", "text": "a 👋 b"}, status="finish"), status="finish")
    events = decoded(make(body).body)
    assert outline(events) == outline(decoded(body))
    told = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert (told[1], told[3], len(told)) == (" ", " ", 5)
    assert "\U0001f330" <= told[2] <= "\U0001f33f"


def test_a_terminal_event_may_repeat_a_text_without_saying_which() -> None:
    one = {"type": "text", "text": "One text."}
    body = event_of(part(one, status="finish")) + event_of(part(one, logic_id=None), status="finish")
    assert outline(decoded(make(body).body)) == outline(decoded(body))


def test_a_finished_part_is_the_whole_text_though_it_is_flagged_an_increment() -> None:
    flagged = {"if_increase_push": True}
    body = event_of(part({"type": "text", "text": "one "}, status="init"), meta_data=flagged)
    body += event_of(part({"type": "text", "text": "two"}, status="init"), meta_data=flagged)
    for status in ("init", "finish"):
        whole = part({"type": "text", "text": "one two"}, status="finish")
        body += event_of(whole, meta_data=flagged, status=status)
    assert outline(decoded(make(body).body)) == outline(decoded(body))
    assert outline(decoded(body))["text"] == size("one two")


@pytest.mark.parametrize("seed", range(5))
def test_a_text_that_was_rewritten_goes_on(seed: int) -> None:
    values = ["The answer is 41, or so", "The sum is", "The sum is 42, and", "The sum is 42, and no other"]
    body = snapshots(values, meta_data={"if_increase_push": False})
    assert outline(decoded(make(body, seed).body)) == outline(decoded(body))


def test_no_accent_is_left() -> None:
    for text in ("สวัสดีครับ", "e\u0301\u0308o\u0302", "हिन्दी"):
        redacted = make(event_of(part({"type": "text", "text": text}))).body.decode()
        assert not {character for character in text if not character.isascii()} & set(redacted)


def test_a_page_that_is_listed_twice_is_one_page() -> None:
    pages = [{"url": f"https://x/{name}", "title": f"About {name}"} for name in ("a", "a", "b")]
    body = event_of(part(meta_data={"metadata_list": pages}))
    body += event_of(
        part({"type": "text", "text": "【2†source】【1†source】"}, status="finish"), status="finish"
    )
    assert outline(decoded(make(body).body)) == outline(decoded(body))
    assert outline(decoded(body))["sources"] == [(1, True), (2, True)]


def test_a_failed_tool_in_between_begins_no_other_text() -> None:
    def of(*items: dict[str, Any], **fields: Any) -> bytes:
        return event_of(part(*items, **{"logic_id": None, "status": "init"} | fields))

    body = of({"type": "text", "text": "first, "}) + of({"type": "tool_result"}, role="tool", status="error")
    body += of({"type": "text", "text": "second"})
    body += of({"type": "text", "text": "first, second"}, status="finish") + event_of(status="finish")
    redacted = make(body).body
    assert outline(decoded(redacted)) == outline(decoded(body))
    assert outline(decoded(body))["notices"] == ["tool_failed"]


def test_a_part_that_is_none_misleads_nobody() -> None:
    one, other = {"type": "text", "text": f"{SECRET}!"}, {"type": "text", "text": "short"}
    body = event_of(7, part(one), None, part(other, logic_id="l-2"))  # type: ignore[arg-type]
    redacted = make(body).body
    assert SECRET.encode() not in redacted
    json.loads(redacted.partition(b"data: ")[2])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def shape(value: Any) -> Any:
    match value:
        case dict():
            return [shape(below) for below in value.values()]
        case list():
            return [shape(below) for below in value]
        case str():
            return len(value)
    return type(value)


@given(st.lists(st.dictionaries(st.text(), JSON, max_size=5), max_size=4), st.booleans(), st.integers(0, 99))
def test_any_json_stays_json_of_its_shape(events: list[dict[str, Any]], escaped: bool, seed: int) -> None:
    spelled = [json.dumps(event, ensure_ascii=escaped) for event in events]
    body = "".join(f"event: message\ndata: {text}\n\n" for text in spelled).encode("utf-8", "replace")
    lines = [line for line in make(body, seed).body.split(b"\n") if line.startswith(b"data: ")]
    told = [json.loads(line[6:], object_pairs_hook=list) for line in lines]
    known = [json.loads(text, object_pairs_hook=list) for text in spelled]
    assert [len(event) for event in told] == [len(event) for event in known]
    assert shape(_pairs(told)) == shape(_pairs(known))


def _pairs(value: Any) -> Any:
    return [_pairs(below) for below in value] if isinstance(value, list | tuple) else value


@given(st.binary(max_size=200), st.integers(0, 99))
def test_any_bytes_stay_as_long(body: bytes, seed: int) -> None:
    make(body, seed)
    make(b"data: " + body + b"\n\n", seed)
