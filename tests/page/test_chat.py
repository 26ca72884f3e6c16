"""The tab Chat."""

from __future__ import annotations

import base64
import re

import pytest
from playwright.sync_api import expect

from tests.conftest import Upstream
from tests.page.browsing import Tab, posted, say, wait_for_answer
from tests.page.conftest import OpenTab

CHAT = "/v1/chat/completions"
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def test_an_answer_is_streamed_and_the_conversation_goes_on(tab: Tab, upstream: Upstream) -> None:
    upstream.sim.pace_s = 0.02
    page = tab.connect()
    say(page, "[scene:text chars=600 think=200]")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_be_hidden()
    expect(page.get_by_role("log").locator(".prose p").first).to_be_visible()
    answer = wait_for_answer(page)
    assert len(answer.locator(".prose").inner_text()) > 400
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    expect(page.get_by_role("textbox", name="Message")).to_be_focused()
    expect(answer.locator("details")).not_to_have_attribute("open", "")
    answer.locator("summary").click()
    expect(answer.locator(".thought")).to_be_visible()
    upstream.sim.pace_s = 0.0
    say(page, "And then?")
    expect(wait_for_answer(page)).to_contain_text("turn 2")
    first, second = posted(tab, CHAT)
    assert [message["role"] for message in second["messages"]] == ["user", "assistant", "user"]
    assert first["stream"] is True
    assert "web_search_options" not in first
    assert "reasoning_effort" not in first
    page.get_by_role("button", name="New chat").click()
    expect(page.get_by_role("log").locator("article")).to_have_count(0)
    say(page, "[scene:echo strip=1] anew")
    wait_for_answer(page)
    assert len(posted(tab, CHAT)[-1]["messages"]) == 1


def test_the_model_and_the_switches_are_sent(tab: Tab, upstream: Upstream) -> None:
    page = tab.connect()
    models = page.get_by_label("Model", exact=True)
    expect(models.locator("option", has_text="glm-5.3-flash").first).to_be_attached()
    models.select_option("glm-5.3-flash")
    page.get_by_role("checkbox", name="Thinking").check()
    page.get_by_role("checkbox", name="Web search").check()
    say(page, "[scene:web_search] Shenzhen?")
    answer = wait_for_answer(page)
    sources = answer.locator(".sources a")
    assert sources.count() >= 2
    for link in sources.all():
        assert re.match(r"https?://", link.get_attribute("href") or "")
        assert link.get_attribute("rel") == "noopener noreferrer"
    body = posted(tab, CHAT)[0]
    assert body["model"] == "glm-5.3-flash"
    assert body["web_search_options"] == {}
    assert body["reasoning_effort"] == "high"
    sent = upstream.chats()[0]["meta_data"]
    assert (sent["is_networking"], sent["chat_mode"]) == (True, "thinking") or "chat_mode" in sent


def test_a_switched_off_search_is_off_even_if_the_gateway_searches_by_default(
    tab: Tab, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("CHATGLM_WEB_SEARCH", "true")
    page = tab.connect()
    expect(page.get_by_role("checkbox", name="Web search")).to_be_checked()
    page.get_by_role("checkbox", name="Web search").uncheck()
    say(page, "[scene:echo strip=1] hello")
    wait_for_answer(page)
    assert posted(tab, CHAT)[0]["model"].endswith("-nosearch")


def test_a_kept_conversation_goes_on_by_its_id(tab: Tab, upstream: Upstream) -> None:
    page = tab.connect()
    page.get_by_role("checkbox", name="Keep at chatglm.cn").check()
    for words in ("one", "two"):
        say(page, f"[scene:echo strip=1] {words}")
        wait_for_answer(page)
    first, second = posted(tab, CHAT)
    assert first["conversation_id"] == ""
    assert second["conversation_id"]
    assert [message["content"] for message in second["messages"]] == ["[scene:echo strip=1] two"]
    assert upstream.sim.live_conversations() == [second["conversation_id"]]


def test_stop_ends_the_answer_and_keeps_its_part(tab: Tab, upstream: Upstream) -> None:
    upstream.sim.pace_s = 0.05
    page = tab.connect()
    say(page, "[scene:text chars=20000]")
    expect(page.get_by_role("log").locator(".prose p").first).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    answer = wait_for_answer(page)
    expect(answer).to_contain_text("Stopped.")
    assert answer.locator(".prose").inner_text()
    expect(page.get_by_role("alert")).to_have_count(0)
    upstream.sim.pace_s = 0.0
    say(page, "[scene:echo strip=1] again")
    expect(wait_for_answer(page)).to_contain_text("again")


def test_shift_enter_is_a_new_line_and_an_input_methods_enter_sends_nothing(tab: Tab) -> None:
    page = tab.connect()
    field = page.get_by_role("textbox", name="Message")
    field.fill("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    assert field.input_value() == "one\ntwo"
    composing = """(field) => {
        const fire = (more) => field.dispatchEvent(
            new KeyboardEvent("keydown", {key: "Enter", bubbles: true, cancelable: true, ...more}));
        fire({isComposing: true});
        fire({keyCode: 229});
    }"""
    field.evaluate(composing)
    assert field.input_value() == "one\ntwo"
    assert posted(tab, CHAT) == []
    page.keyboard.press("Enter")
    wait_for_answer(page)
    assert posted(tab, CHAT)[0]["messages"][0]["content"] == "one\ntwo"


def test_an_image_and_a_document_are_shown_before_sending_and_sent(tab: Tab, upstream: Upstream) -> None:
    page = tab.connect()
    with page.expect_file_chooser() as choosing:
        page.get_by_role("button", name="Attach").click()
    choosing.value.set_files(
        [
            {"name": "dot.png", "mimeType": "image/png", "buffer": PIXEL},
            {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"some notes"},
            {"name": "wrong.txt", "mimeType": "text/plain", "buffer": b"never sent"},
        ]
    )
    files = page.get_by_role("list", name="Attached files")
    expect(files.get_by_role("img", name="dot.png")).to_be_visible()
    expect(files).to_contain_text("notes.txt")
    files.get_by_role("button", name="Remove wrong.txt").click()
    say(page, "[scene:files]")
    answer = wait_for_answer(page)
    expect(answer).to_contain_text("notes.txt")
    expect(answer).not_to_contain_text("wrong.txt")
    expect(files).to_be_hidden()
    parts = posted(tab, CHAT)[0]["messages"][0]["content"]
    assert [part["type"] for part in parts] == ["text", "image_url", "file"]


def test_a_busy_account_is_told_in_words_with_the_next_step(
    open_tab: OpenTab, environment: pytest.MonkeyPatch, upstream: Upstream
) -> None:
    environment.setenv("ACCOUNT_WAIT_S", "0.1")
    upstream.sim.pace_s = 0.1
    other, tab = open_tab(), open_tab()
    page = other.connect()
    say(page, "[scene:text chars=20000]")
    expect(page.get_by_role("log").locator(".prose p").first).to_be_visible()
    busy = tab.connect()
    say(busy, "[scene:echo strip=1] me too")
    alert = busy.get_by_role("alert")
    expect(alert).to_contain_text("one answer at a time")
    assert "{" not in alert.inner_text()
    page.get_by_role("button", name="Stop").click()
    wait_for_answer(page)
    upstream.sim.pace_s = 0.0
    alert.get_by_role("button", name="Try again").click()
    expect(wait_for_answer(busy)).to_contain_text("me too")
    expect(alert).to_have_count(0)


def test_an_error_within_the_answer_keeps_the_part_that_came(tab: Tab) -> None:
    page = tab.connect()
    say(page, "[scene:early_close]")
    expect(page.get_by_role("alert")).to_contain_text("The upstream")
    assert page.get_by_role("log").locator(".prose").last.inner_text()


def test_an_empty_message_is_not_sent(tab: Tab) -> None:
    page = tab.connect()
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("alert")).to_contain_text("Write a message")
    assert posted(tab, CHAT) == []


def test_the_request_is_shown_as_curl_and_as_python(tab: Tab) -> None:
    page = tab.connect()
    page.get_by_role("checkbox", name="Web search").check()
    page.get_by_role("textbox", name="Message").fill('it\'s "quoted" \\ 你好')
    page.get_by_role("button", name="As code").click()
    dialog = page.get_by_role("dialog", name="This request as code")
    curl, python = (block.inner_text() for block in dialog.locator("code").all())
    assert f"curl -N {tab.url}/v1/chat/completions" in curl
    assert "it'\\''s" in curl
    compile(python, "shown.py", "exec")
    assert f'base_url="{tab.url}/v1"' in python
    assert "stream=True" in python
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_a_gateway_without_an_account_says_where_to_add_one(
    tab: Tab, environment: pytest.MonkeyPatch
) -> None:
    environment.delenv("CHATGLM_REFRESH_TOKENS")
    page = tab.connect()
    page.get_by_role("button", name="Open Status").click()
    expect(page.get_by_role("tabpanel", name="Status")).to_contain_text("No account yet")
