"""Every scene does what its name says, in well-formed frames."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import httpx
import pytest

from simulator.agent.prompt import where_tags_count
from simulator.app import Simulator
from simulator.scenes import SCENES, SceneEntry, read_tag, sample_text, strip_tags
from tests.simulator.browser import Browser, read_events

TERMINAL = {"finish", "error", "intervene"}
MESSY = {"junk_lines", "unknown_items"}
BROKEN_OFF = {"abort", "abort_first"}
FAST = "s=0.01 gap=0.001 first=0.001"


def play(browser: Browser, name: str, args: str = FAST, **meta: Any) -> httpx.Response:
    return browser.chat(f"hello [scene:{name} {args}]", **meta)


def settled_texts(events: list[dict[str, Any]]) -> str:
    """Put together what the finished parts say, in order of arrival."""
    texts: dict[str, str] = {}
    for event in events:
        for part in event.get("parts", []):
            said = "".join(item.get("text") or "" for item in part["content"] if item.get("type") == "text")
            if part["status"] == "finish" and said:
                texts[part["logic_id"]] = said
            else:
                texts.setdefault(part["logic_id"], "")
    return "".join(texts.values())


@pytest.mark.parametrize("entry", SCENES.values(), ids=lambda entry: entry.name)
def test_every_scene_ends_as_it_claims(sim: Simulator, browser: Browser, entry: SceneEntry) -> None:
    assert entry.about
    if entry.name in BROKEN_OFF:
        with pytest.raises(httpx.RemoteProtocolError):
            play(browser, entry.name)
    else:
        check_ending(entry, play(browser, entry.name, chat_mode="thinking"), sim)
    assert sim.active_generations() == 0
    assert sim.violations == []


def check_ending(entry: SceneEntry, response: httpx.Response, sim: Simulator) -> None:
    if entry.ending == "http":
        assert response.headers["content-type"].startswith(("application/json", "text/html"))
        return
    assert response.status_code == 200
    events = read_events(response.content)
    if entry.name not in MESSY:
        frame = rb"(?:event: message\ndata: ?\{[^\n]*\}\n\n|event: message\ndata:\n\n)*"
        assert re.fullmatch(frame, response.content)
    endings = [event["status"] for event in events if event.get("status") in TERMINAL]
    assert endings == ([] if entry.ending == "cut" else [entry.ending])
    if events:
        assert events[-1]["status"] == endings[0] if endings else True
        conversation = sim.conversations[events[0]["conversation_id"]]
        assert all(event["id"] == conversation.turns[0].history_id for event in events if "id" in event)
        if entry.ending == "finish":
            assert settled_texts(events) == conversation.turns[0].answer


def increments_of(events: list[dict[str, Any]], kind: str = "text") -> list[str]:
    return [
        item[kind]
        for event in events
        if event["status"] == "init"
        for part in event["parts"]
        if part["status"] == "init"
        for item in part["content"]
        if item["type"] == kind
    ]


def test_the_capture_is_replayed_as_it_was(browser: Browser) -> None:
    events = read_events(play(browser, "captured").content)
    assert increments_of(events) == ["1", ",", " ", "2", ",", " ", "3", ",", " ", "4, 5"]
    assert not any("meta_data" in event for event in events)
    assert events[-1]["parts"] == events[-2]["parts"]
    assert set(events[0]) == {"id", "conversation_id", "status", "parts"}


@pytest.mark.parametrize("batch", [1, 7])
def test_a_text_can_be_computed_beforehand(browser: Browser, batch: int) -> None:
    events = read_events(play(browser, "text", f"chars=333 step=4 seed=9 think=20 batch={batch}").content)
    assert "".join(increments_of(events)) == sample_text(333, 9)
    assert {len(piece) for piece in increments_of(events)} == {4, 1}
    assert "".join(increments_of(events, "think")) == sample_text(20, 10)
    assert sample_text(333, 9) != sample_text(333, 8)
    assert len(sample_text(5000, 3)) == 5000


def test_a_text_can_be_repeated_until_it_is_megabytes(browser: Browser) -> None:
    events = read_events(play(browser, "text", "chars=10000 step=10000 seed=9 times=100").content)
    assert "".join(increments_of(events)) == settled_texts(events) == 100 * sample_text(10_000, 9)


def test_snapshots_grow_and_differ_in_the_flag_only(browser: Browser) -> None:
    flags = {}
    for name in ("snapshots", "snapshots_unflagged"):
        events = read_events(play(browser, name).content)
        texts = increments_of(events)
        assert texts[:2] == ["", "从"]
        assert all(later.startswith(earlier) for earlier, later in pairwise(texts))
        flags[name] = {event["meta_data"].get("if_increase_push") for event in events[1:]}
    assert flags == {"snapshots": {False}, "snapshots_unflagged": {None}}


def test_equal_neighbours_are_sent(browser: Browser) -> None:
    texts = increments_of(read_events(play(browser, "increments_equal_neighbours").content))
    assert texts[1:3] == [",", ","]


def test_logic_ids_of_parts_out_of_order_do_not_sort(browser: Browser) -> None:
    events = read_events(play(browser, "parts_out_of_order").content)
    ids = list(dict.fromkeys(part["logic_id"] for event in events for part in event["parts"]))
    assert ids == sorted(ids, reverse=True)
    assert [part["logic_id"] for part in events[-1]["parts"]] != ids
    assert settled_texts(events) == "Came first, came second."


def test_a_rewritten_text_is_no_extension(browser: Browser) -> None:
    events = read_events(play(browser, "rewritten").content)
    sent = "".join(increments_of(events))
    assert sent
    assert not settled_texts(events).startswith(sent)


def test_a_search_has_sources_with_keys_and_cut_citations(browser: Browser) -> None:
    events = read_events(play(browser, "web_search").content)
    results = [
        part["meta_data"]["tool_result_extra"]["search_results"]
        for event in events
        for part in event["parts"]
        if part["content"][0]["type"] == "tool_result"
    ]
    assert [result["match_key"] for result in results[0]] == [f"turn0search{n}" for n in range(4)]
    texts = increments_of(events)
    assert "【turn0search3】" in "".join(texts)
    assert not any("turn0search3" in text for text in texts)
    kinds = [item["type"] for event in events for part in event["parts"] for item in part["content"]]
    order = list(dict.fromkeys(kinds))
    assert order == ["think", "tool_calls", "tool_result", "text"]


def test_characters_are_cut_in_the_middle(sim: Simulator, browser: Browser) -> None:
    with browser.open_chat("[scene:utf8_split]") as response:
        chunks = list(response.iter_raw())
    assert any(not _is_whole(chunk) for chunk in chunks)
    assert "世界" in settled_texts(read_events(b"".join(chunks)))


def _is_whole(chunk: bytes) -> bool:
    try:
        chunk.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_junk_comes_in_every_form(browser: Browser) -> None:
    raw = play(browser, "junk_lines").content
    for junk in (
        b"data:{",
        b"data: {",
        b"data:  {",
        b"\r\n\r\n",
        b"data:\n\n",
        b"data: ping",
        b": a comment",
        b"null",
    ):
        assert junk in raw


def test_escaped_answers_have_no_byte_outside_ascii(browser: Browser) -> None:
    response = play(browser, "escaped")
    assert response.content.isascii()
    assert b"\\ud83d" in response.content


def test_the_content_type_can_be_missing_or_wrong(browser: Browser) -> None:
    assert "content-type" not in play(browser, "no_content_type").headers
    assert (
        play(browser, "wrong_content_type", "type=application/json").headers["content-type"]
        == "application/json"
    )


def test_error_scenes_carry_their_code(browser: Browser) -> None:
    for code in (10024, 10025, 10040, 10062):
        last = read_events(play(browser, f"error_{code}").content)[-1]
        assert last["last_error"]["error_code"] == code
    assert read_events(play(browser, "intervene").content)[-1]["last_error"]["intervene_text"]


def test_a_tag_is_read_with_its_arguments_and_the_last_one_wins() -> None:
    assert read_tag("no tag") is None
    assert read_tag("a [scene:text chars=5 step=2] b") == ("text", {"chars": "5", "step": "2"})
    assert read_tag("[scene:echo] then [scene:slow first=0.5]") == ("slow", {"first": "0.5"})
    assert read_tag("[scene:] [scene:a b]") is None
    assert strip_tags("a[scene:text chars=5]b") == "ab"


def test_tags_count_in_system_texts_and_in_the_newest_of_the_user() -> None:
    history = "<|system:2|>\n[scene:echo]\n<|user:2|> Ann\n[scene:slow]\n"
    history += "<|assistant:2|>\nok [scene:images]\n<|user:2|>\nand now?\n"
    assert read_tag(where_tags_count(history)) == ("echo", {})
    assert read_tag(where_tags_count(history + "[scene:text]\n<|assistant:2|>\n")) == ("text", {})
    assert where_tags_count("plain") == "plain"
