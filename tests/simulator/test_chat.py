"""The chat stream: what is accepted, one at a time, stopping, leaving, deleting, remembering."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from simulator.app import Simulator
from simulator.steps import Abort, Cue, Pause, Reply, Step
from tests.simulator.browser import (
    BULK_DELETE,
    DRAWING,
    MAIN,
    REFRESH,
    STOP,
    STREAM,
    Browser,
    make_body,
    read_events,
)


def wait_until(is_so: Callable[[], bool], timeout_s: float = 2.0) -> None:
    give_up_at = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < give_up_at, "it did not come to be in time"
        time.sleep(0.002)


def first_event(lines: Iterator[str]) -> dict[str, Any]:
    """Read the first event. Whoever drops `lines` closes the connection: httpx's iterators do that."""
    while not (line := next(lines)).startswith("data:"):
        pass
    return read_events(line.encode())[0]


def text_of(event: dict[str, Any]) -> str:
    return "".join(item.get("text", "") for part in event["parts"] for item in part["content"])


def test_the_default_answer_comes_in_increments_then_whole_then_whole_again(
    sim: Simulator, browser: Browser
) -> None:
    events = browser.events("Hello there, simulator")
    assert events[0]["parts"] == []
    *increments, settled, last = events[1:]
    assert len(increments) > 20
    assert all(event["meta_data"]["if_increase_push"] is True for event in increments)
    assert "".join(map(text_of, increments)) == text_of(settled) == text_of(last)
    assert settled["meta_data"]["if_increase_push"] is False
    assert (settled["status"], settled["parts"][0]["status"], last["status"]) == ("init", "finish", "finish")
    assert "Hello there, simulator" in text_of(last)
    assert "simulator" in text_of(last)
    assert {part["model"] for event in events for part in event["parts"]} == {"moe_53f"}
    assert sim.violations == []


def test_the_default_answer_speaks_chinese_and_thinks_when_asked(browser: Browser) -> None:
    events = browser.events("今天天气怎么样？", chat_mode="thinking", selected_model="glm-5.3")
    kinds = [item["type"] for event in events for part in event["parts"] for item in part["content"]]
    assert kinds.index("think") < kinds.index("text")
    assert "演示" in text_of(events[-1])
    assert events[-1]["parts"][0]["model"] == "moe_53"


def test_a_conversation_remembers_what_was_said_first(sim: Simulator, browser: Browser) -> None:
    conversation_id = browser.events("My cat is called Momo")[0]["conversation_id"]
    assert sim.live_conversations(browser.uid) == [conversation_id]
    second = browser.events("What did I say first?", conversation_id=conversation_id)
    assert second[0]["conversation_id"] == conversation_id
    assert "My cat is called Momo" in text_of(second[-1])
    turns = sim.conversations[conversation_id].turns
    assert [turn.prompt for turn in turns] == ["My cat is called Momo", "What did I say first?"]
    assert turns[1].answer == text_of(second[-1])


def test_a_flattened_history_is_understood(sim: Simulator, browser: Browser) -> None:
    first = text_of(browser.events("I am Ann [scene:default]")[-1])
    assert "[scene:weather]" in first
    earlier = f"<|user|>\nI am Ann [scene:empty_finish]\n<|assistant|>\n{first}\n"
    prompt = f"{earlier}<|user|>\nWhat did I say first?\n<|assistant|>\n"
    answer = text_of(browser.events(prompt)[-1])
    assert "first thing you said here was: “I am Ann”" in answer
    assert sim.violations == []


@pytest.mark.parametrize(
    "text", ["plain", " lead and trail \n", "【1†source】 [link](http://x/y) 🙂\x00\u2028", '"\\']
)
def test_echo_is_verbatim(sim: Simulator, browser: Browser, text: str) -> None:
    sim.play("echo")
    assert text_of(browser.events(text)[-1]) == text


def test_a_second_generation_of_an_account_is_refused(sim: Simulator, browser: Browser) -> None:
    with browser.open_chat("[scene:silence]") as response:
        lines = response.iter_lines()
        first_event(lines)
        assert sim.active_generations(browser.uid) == 1
        refused = browser.chat("hi")
    assert (refused.status_code, refused.json()["status"]) == (429, 10061)
    assert "请等待其他对话生成完毕" in refused.json()["message"]
    assert sim.violations == [f"assistant/stream: overlap on account {browser.uid}"]
    assert browser.account.max_overlap == 2


def test_accounts_do_not_wait_for_each_other(sim: Simulator, http: httpx.Client, browser: Browser) -> None:
    other = Browser(sim, http, sim.add_account())
    other.refresh()
    with browser.open_chat("[scene:silence]") as response:
        lines = response.iter_lines()
        first_event(lines)
        assert other.chat("hi").status_code == 200
    assert sim.violations == []


def test_stop_stream_ends_the_generation_although_nobody_reads(sim: Simulator, browser: Browser) -> None:
    with browser.open_chat("[scene:stall]") as response:
        lines = response.iter_lines()
        event = first_event(lines)
        assert browser.post(STOP, {"history_id": event["id"]}).json()["status"] == 0
        wait_until(lambda: sim.active_generations() == 0)
    assert sim.conversations[event["conversation_id"]].stopped
    assert browser.chat("next").status_code == 200
    assert sim.violations == []


def test_a_stopped_stream_ends_with_10024(browser: Browser) -> None:
    events: list[dict[str, Any]] = []
    with browser.open_chat("[scene:slow first=0 gap=0.01 count=10000]") as response:
        for line in response.iter_lines():
            if line.startswith("data:"):
                events += read_events(line.encode())
                if len(events) == 3:
                    browser.post(STOP, {"history_id": events[0]["id"]})
    assert events[-1]["status"] == "error"
    assert (
        events[-1]["error"] == events[-1]["last_error"] == {"error_code": 10024, "err_msg": "generator exit"}
    )


def test_a_client_that_leaves_keeps_the_account_busy_a_little(sim: Simulator, browser: Browser) -> None:
    with browser.open_chat("[scene:silence]") as response:
        lines = response.iter_lines()
        first_event(lines)
    left_at = time.monotonic()
    assert browser.chat("at once").status_code == 429
    wait_until(lambda: sim.active_generations() == 0)
    assert time.monotonic() - left_at > 0.2
    assert browser.chat("later").status_code == 200


def test_a_client_that_leaves_and_says_so_frees_the_account_at_once(sim: Simulator, browser: Browser) -> None:
    sim.linger_s = 30.0
    with browser.open_chat("[scene:silence]") as response:
        lines = response.iter_lines()
        history_id = first_event(lines)["id"]
    browser.post(STOP, {"history_id": history_id})
    assert browser.chat("at once").status_code == 200
    assert sim.violations == []


def test_the_account_is_free_when_the_stream_has_closed_not_when_it_says_finish(
    sim: Simulator, browser: Browser
) -> None:
    with browser.open_chat("[scene:terminal_only tail=5]") as response:
        lines = response.iter_lines()
        history_id = ""
        while not history_id:
            line = next(lines)
            history_id = read_events(line.encode())[0]["id"] if '"finish"' in line else ""
        assert browser.chat("too early").status_code == 429
        browser.post(STOP, {"history_id": history_id})
    assert browser.chat("now").status_code == 200
    assert len(sim.violations) == 1


def test_many_calls_in_a_row_find_the_account_free(sim: Simulator, browser: Browser) -> None:
    assert [browser.chat("[scene:terminal_only]").status_code for _ in range(50)] == [200] * 50
    assert sim.violations == []


def test_a_deleted_conversation_is_unknown(sim: Simulator, browser: Browser) -> None:
    conversation_id = browser.events("hi")[0]["conversation_id"]
    assert browser.delete(conversation_id).json()["result"] is None
    assert sim.live_conversations() == []
    unknown = browser.chat("more", conversation_id=conversation_id)
    assert (unknown.status_code, unknown.content) == (200, b"")
    assert unknown.headers["content-type"] == "text/event-stream"
    assert sim.violations == []


def test_the_old_path_deletes_too(sim: Simulator, browser: Browser) -> None:
    conversation_id = browser.events("hi")[0]["conversation_id"]
    body = {"assistant_id": MAIN, "conversation_id": conversation_id}
    assert browser.post("/backend-api/assistant/conversation/delete", body).json()["status"] == 0
    assert sim.live_conversations() == []


def test_deleting_twice_is_noted_unless_the_first_answer_may_have_been_lost(
    sim: Simulator, browser: Browser
) -> None:
    conversation_id = browser.events("hi")[0]["conversation_id"]
    browser.delete(conversation_id)
    sim.answer_lost_after_s = 0.0
    browser.delete(conversation_id)
    assert sim.violations == []
    sim.answer_lost_after_s = 10.0
    browser.delete(conversation_id)
    assert sim.violations == [f"conversation/bulk_delete: conversation {conversation_id} deleted twice"]


def test_deleting_while_the_stream_is_open_is_noted(sim: Simulator, browser: Browser) -> None:
    with browser.open_chat("[scene:silence]") as response:
        lines = response.iter_lines()
        conversation_id = first_event(lines)["conversation_id"]
        browser.delete(conversation_id)
    assert sim.violations == [
        f"conversation/bulk_delete: conversation {conversation_id} deleted while the stream was open"
    ]


def test_deleting_after_the_client_stopped_or_left_is_right(sim: Simulator, browser: Browser) -> None:
    sim.linger_s = 0.01
    for stops in (True, False) * 10:
        with browser.open_chat("[scene:silence]") as response:
            lines = response.iter_lines()
            event = first_event(lines)
            if stops:
                browser.post(STOP, {"history_id": event["id"]})
        browser.delete(event["conversation_id"])
        wait_until(lambda: sim.active_generations() == 0)
    assert sim.live_conversations() == []
    assert sim.violations == []


def test_an_account_cannot_touch_the_conversations_of_another(
    sim: Simulator, http: httpx.Client, browser: Browser
) -> None:
    conversation_id = browser.events("hi")[0]["conversation_id"]
    other = Browser(sim, http, sim.add_account())
    other.refresh()
    assert other.chat("mine?", conversation_id=conversation_id).content == b""
    other.delete(conversation_id)
    assert sim.live_conversations(browser.uid) == [conversation_id]
    assert len(sim.violations) == 1


def test_a_made_up_conversation_answers_zero_bytes(sim: Simulator, browser: Browser) -> None:
    assert browser.chat("hi", conversation_id="0" * 24).content == b""
    assert not sim.conversations


def test_an_unknown_agent_and_a_missing_one_are_told_apart(sim: Simulator, browser: Browser) -> None:
    unknown = browser.chat("hi", assistant_id="0" * 24).json()
    assert {"status": 0, "result": None}.items() <= unknown.items()
    body = make_body("hi")
    del body["assistant_id"]
    error = {"loc": ["assistant_id"], "msg": "field required", "type": "value_error.missing"}
    assert browser.post(STREAM, body).json() == {"validation_error": {"body_params": [error]}}
    assert sim.violations == ["assistant/stream: assistant_id missing"]


def _with_messages(messages: Any) -> dict[str, Any]:
    return make_body("") | {"messages": messages}


@pytest.mark.parametrize(
    ("body", "violation"),
    [
        (_with_messages(make_body("a")["messages"] * 2), "exactly one message"),
        (_with_messages([{"role": "system", "content": [{"type": "text", "text": "a"}]}]), "a user message"),
        (_with_messages([{"role": "user", "content": "a"}]), "a list of content items"),
        (_with_messages([{"role": "user", "content": [{"type": "text"}]}]), "text item without text"),
        (
            _with_messages([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]),
            "silently ignored",
        ),
        (_with_messages([{"role": "user", "content": [{"type": "file", "file": [{}]}]}]), "file item needs"),
        (make_body("a", chat_mode="think"), "unknown chat_mode 'think'"),
        (make_body("a", reasoning_effort="medium"), "unknown reasoning_effort"),
        (make_body("a", selected_model="gpt-4o"), "unknown selected_model"),
        (make_body("a", is_networking=None), "is_networking is None"),
        (make_body("a") | {"conversation_id": None}, "conversation_id is None"),
        ({"assistant_id": MAIN, "messages": make_body("a")["messages"]}, "meta_data is not an object"),
    ],
)
def test_a_body_that_the_web_would_not_send_is_noted(
    sim: Simulator, browser: Browser, body: dict[str, Any], violation: str
) -> None:
    assert browser.post(STREAM, body).status_code == 200
    assert any(violation in note for note in sim.violations), sim.violations


def test_the_body_of_2025_is_accepted(sim: Simulator, browser: Browser) -> None:
    body = make_body("hi")
    for name in ("project_id", "chat_type"):
        del body[name]
    for name in ("cogview", "reasoning_effort", "selected_model"):
        del body["meta_data"][name]
    body["meta_data"]["if_plus_model"] = True
    events = read_events(browser.post(STREAM, body).content)
    assert events[-1]["parts"][0]["model"] == "moe_53f"
    assert sim.violations == []


def test_the_drawing_agent_draws(sim: Simulator, browser: Browser) -> None:
    events = browser.events("a cat", assistant_id=DRAWING)
    urls = [item["image"][0]["image_url"] for event in events[1:-1] for item in event["parts"][0]["content"]]
    history_id = events[0]["id"]
    assert urls == [f"https://sfile.chatglm.cn/testpath/{history_id}_{n}_0.jpg" for n in (3, 0, 1, 2)]
    assert events[-1]["parts"][0]["content"] == [{"type": "one_to_more_finish", "image": [{}]}]
    assert sim.violations == []


def test_a_queued_scene_goes_to_its_account_and_wins_over_the_tag(
    sim: Simulator, http: httpx.Client, browser: Browser
) -> None:
    other = Browser(sim, http, sim.add_account())
    other.refresh()
    sim.play("busy_429", uid=other.uid)
    sim.play("empty_finish", times=2)
    assert browser.events("[scene:echo]")[-1]["parts"] == []
    assert other.chat("hi").status_code == 429
    assert other.events("hi")[-1]["parts"] == []
    assert text_of(other.events("[scene:echo strip=1]ok")[-1]) == "ok"
    with pytest.raises(ValueError, match="no_such"):
        sim.play("no_such")


def test_a_scene_can_be_written_in_place(sim: Simulator, browser: Browser) -> None:
    sim.play(
        [
            {"status": "init", "parts": []},
            Pause(0.001),
            b"data: \n\n",
            {"status": "finish", "parts": [], "x": 1},
        ]
    )
    events = browser.events("hi")
    assert [event["status"] for event in events] == ["init", "finish"]
    assert events[0]["conversation_id"] in sim.conversations
    sim.play([Reply(418, "teapot", "text/plain")])
    assert browser.chat("hi").text == "teapot"

    def answer_in_capitals(cue: Cue) -> Any:
        yield {"status": "finish", "parts": [], "said": cue.prompt.upper()}

    sim.play(answer_in_capitals)
    assert browser.events("loud")[-1]["said"] == "LOUD"


def test_a_refused_request_makes_no_conversation(sim: Simulator, browser: Browser) -> None:
    for name in ("busy_429", "html_403", "zero_bytes", "silence_before_headers s=0.01"):
        sim.play(name)
        browser.chat("hi")
    assert not sim.conversations


def test_a_broken_connection_is_seen_as_one(sim: Simulator, browser: Browser) -> None:
    steps: list[Step] = [{"status": "init", "parts": []}, b"event: message\nda", Abort()]
    sim.play(steps)
    with pytest.raises(httpx.RemoteProtocolError):
        browser.chat("hi")
    sim.play("abort hard=1")
    with pytest.raises(httpx.TransportError):
        browser.chat("hi")
    assert sim.active_generations() == 0
    assert sim.violations == []


def test_a_faulty_scene_is_noted_and_frees_the_account(sim: Simulator, browser: Browser) -> None:
    sim.play([{"status": "init", "parts": []}, 7])  # type: ignore[list-item]
    with pytest.raises(httpx.RemoteProtocolError):
        browser.chat("hi")
    assert "the simulator failed" in sim.violations[0]
    assert sim.active_generations() == 0


def test_any_endpoint_can_be_made_to_fail(sim: Simulator, http: httpx.Client, browser: Browser) -> None:
    sim.fail("user/refresh", status=500, body={"status": 500}, times=2, uid="somebody else")
    assert browser.refresh().status_code == 200
    sim.fail("user/refresh", status=502, body="<html>", content_type="text/html", times=2)
    assert [browser.refresh().status_code for _ in range(3)] == [502, 502, 200]
    sim.fail("bulk_delete", disconnect=True)
    with pytest.raises(httpx.TransportError):
        browser.post(BULK_DELETE, {"conversation_ids": ["0" * 24], "assistant_id": MAIN})
    sim.fail("user/info", delay_s=0.05)
    started_at = time.monotonic()
    assert browser.get("/user-api/user/info").status_code == 200
    assert time.monotonic() - started_at > 0.04


def test_parallel_refreshes_are_noted(sim: Simulator, browser: Browser) -> None:
    sim.fail(REFRESH[1:], delay_s=0.2, times=2)
    threads = [threading.Thread(target=browser.refresh) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert any("parallel refreshes" in note for note in sim.violations)


def test_the_pace_can_be_set(sim: Simulator, browser: Browser) -> None:
    sim.pace_s = 0.01
    started_at = time.monotonic()
    browser.chat("[scene:text chars=50 step=5]")
    assert time.monotonic() - started_at > 0.1
