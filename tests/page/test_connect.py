"""The key: asked for first, kept for the tab or on the device, never in an address. The two languages."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect
from starlette.types import ASGIApp, Receive, Scope, Send

from lib.web.index import DEMO_KEY
from tests.conftest import SimulatedAccount
from tests.page.browsing import Held, Tab, choose, say, wait_for_answer
from tests.page.conftest import OpenTab
from tests.support.client import KEY
from tests.support.live import LiveGateway
from tests.unit.upstreams.chatglm.accounts.fakes import make_jwt

FILES = (".js", ".css", ".svg", "/", "/favicon.ico")


def test_nothing_is_asked_for_before_the_key_is_given(tab: Tab) -> None:
    page = tab.go()
    page.wait_for_load_state("networkidle")
    asked = [request.url.partition("?")[0] for request in tab.requests]
    assert [url for url in asked if not url.endswith(FILES)] == []
    assert len(asked) > 10


def test_enter_connects_and_the_key_is_in_no_address(tab: Tab) -> None:
    page = tab.go()
    page.get_by_label("API key").fill(KEY)
    page.keyboard.press("Enter")
    expect(page.get_by_role("tab", name="Chat", exact=True)).to_be_visible()
    expect(page.get_by_role("textbox", name="Message")).to_be_focused()
    assert [request.url for request in tab.requests if KEY in request.url] == []
    assert KEY not in page.url
    assert KEY not in page.content()


@pytest.mark.parametrize(
    ("given", "words"),
    [("sk-wrong", "not a key of API_KEYS"), ("", "Enter the key"), ("ключ", "Latin letters")],
)
def test_a_wrong_key_is_told_in_words_and_is_not_kept(tab: Tab, given: str, words: str) -> None:
    page = tab.go()
    page.get_by_label("API key").fill(given)
    page.get_by_role("button", name="Connect").click()
    expect(page.get_by_role("alert")).to_contain_text(words)
    expect(page.get_by_role("tab").first).to_be_hidden()
    assert page.evaluate("[sessionStorage.length, Object.values(localStorage).join()]") == [0, ""]
    page.get_by_label("API key").fill(KEY)
    page.get_by_role("button", name="Connect").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_role("tab", name="Chat", exact=True)).to_be_visible()


def test_the_key_lasts_for_the_tab_and_a_reload(tab: Tab) -> None:
    page = tab.connect()
    page.reload()
    expect(page.get_by_role("tab", name="Chat", exact=True)).to_be_visible()
    other = tab.new_page()
    other.goto(tab.url)
    expect(other.get_by_label("API key")).to_be_visible()
    assert page.evaluate("Object.values(localStorage).join()") == ""


def test_the_key_is_remembered_on_the_device_if_that_is_wanted(tab: Tab) -> None:
    page = tab.go()
    page.get_by_label("API key").fill(KEY)
    page.get_by_label("Remember on this device").check()
    page.get_by_role("button", name="Connect").click()
    expect(page.get_by_role("tab", name="Chat", exact=True)).to_be_visible()
    other = tab.new_page()
    other.goto(tab.url)
    expect(other.get_by_role("tab", name="Chat", exact=True)).to_be_visible()
    other.get_by_role("button", name="Disconnect").click()
    expect(other.get_by_label("API key")).to_be_focused()
    assert other.evaluate("[sessionStorage.length, localStorage.length]") == [0, 0]
    page.reload()
    expect(page.get_by_label("API key")).to_be_visible()


def test_a_disconnected_page_holds_nothing_of_the_conversation(tab: Tab) -> None:
    page = tab.connect()
    say(page, "[scene:echo strip=1] a private word")
    wait_for_answer(page)
    choose(page, "Clients").get_by_label("Put my key into the examples").check()
    page.get_by_role("button", name="Disconnect").click()
    assert "a private word" not in page.content()
    assert KEY not in page.content()


def fill_everything(page: Page, label: str) -> None:
    """Leave something secret in every tab."""
    images = choose(page, "Images")
    images.get_by_label("Prompt").fill("a secret cat")
    images.get_by_role("button", name="Create").click()
    expect(images.get_by_role("img", name="a secret cat")).to_be_visible()
    choose(page, "Videos").get_by_label("Prompt").fill("a secret ship")
    status = choose(page, "Status")
    expect(status).to_contain_text("Streams arrive as they are made: yes")
    expect(status.get_by_role("row").filter(has_text=label)).to_be_visible()
    status.get_by_label("Refresh token").fill("a secret token")
    chat = choose(page, "Chat")
    chat.locator("input[type=file]").set_input_files(
        [{"name": "secret.txt", "mimeType": "text/plain", "buffer": b"secret"}]
    )
    expect(chat.get_by_role("list", name="Attached files")).to_contain_text("secret.txt")
    chat.get_by_role("textbox", name="Message").fill("a secret message")


def test_nothing_of_one_key_is_left_for_the_next_one(tab: Tab, account: SimulatedAccount) -> None:
    page = tab.connect()
    fill_everything(page, account.label)
    page.get_by_role("button", name="Disconnect").click()
    fields = page.locator("input, textarea").evaluate_all("(all) => all.map(({ value }) => value)")
    assert [value for value in fields if "secret" in value] == []
    assert "secret" not in page.content()
    assert account.label not in page.content()
    page.get_by_label("API key").fill(KEY)
    page.keyboard.press("Enter")
    expect(choose(page, "Images")).to_contain_text("Your pictures will appear here")
    expect(choose(page, "Status").get_by_role("row").filter(has_text=account.label)).to_be_visible()


def test_an_answer_for_an_earlier_key_shows_nothing_to_the_next_one(
    tab: Tab, account: SimulatedAccount
) -> None:
    with tab.page.expect_response("**/tokens"):
        page = tab.connect()
    patterns = {"**/v1/*/generations": 2, "**/health?deep=1": 1, "**/tokens": 2}
    held = [(Held(page, pattern), count) for pattern, count in patterns.items()]
    images = choose(page, "Images")
    images.get_by_label("Prompt").fill("a secret cat")
    images.get_by_role("button", name="Create").click()
    expect(images).to_contain_text("Drawing…")
    videos = choose(page, "Videos")
    videos.get_by_label("Prompt").fill("a secret ship")
    videos.get_by_role("button", name="Create").click()
    expect(videos).to_contain_text("Ordering…")
    choose(page, "Status")
    page.locator("#refresh-token").fill(make_jwt(type="refresh"))
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_role("button", name="Disconnect").click()
    expect(page.get_by_label("API key")).to_be_focused()
    late: dict[str, Any] = {
        "error": {"message": "secret", "code": None},
        "created": 1,
        "data": [{"url": "https://files.example/secret"}],
        "accounts": [{"label": "secret", "state": "ready", "source": "store"}],
        "label": "secret",
        "notes": ["secret"],
    }
    routes = [route for requests, count in held for route in requests.first(count)]
    asked = {(route.request.method, urlsplit(route.request.url).path) for route in routes}
    assert asked == {
        ("POST", "/v1/images/generations"),
        ("POST", "/v1/videos/generations"),
        ("GET", "/health"),
        ("GET", "/tokens"),
        ("POST", "/tokens"),
    }
    for route in routes:
        route.fulfill(json=late, status=400 if "/videos/" in route.request.url else 200)
    for pattern in patterns:
        page.unroute(pattern)
    page.get_by_label("API key").fill(KEY)
    page.keyboard.press("Enter")
    expect(page.get_by_role("tab", name="Chat", exact=True)).to_be_visible()
    assert "secret" not in page.content()
    expect(choose(page, "Status").get_by_role("row").filter(has_text=account.label)).to_be_visible()
    expect(page.get_by_role("tabpanel")).to_contain_text("Streams arrive as they are made: yes")
    assert "secret" not in page.content()


@pytest.mark.parametrize(
    ("locale", "lang", "chat"),
    [
        ("zh-CN", "zh-CN", "聊天"),
        ("zh-TW", "zh-CN", "聊天"),
        ("de-DE", "en", "Chat"),
        ("en-GB", "en", "Chat"),
    ],
)
def test_the_language_is_the_browsers(open_tab: OpenTab, locale: str, lang: str, chat: str) -> None:
    page = open_tab(locale=locale).connect()
    expect(page.locator("html")).to_have_attribute("lang", lang)
    expect(page.get_by_role("tab", name=chat, exact=True)).to_be_visible()


def test_the_language_can_be_switched_and_the_choice_lasts(tab: Tab) -> None:
    page = tab.connect()
    say(page, "[scene:echo strip=1] hello")
    wait_for_answer(page)
    page.get_by_role("button", name="中文", exact=True).click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    expect(page.get_by_role("button", name="复制回答")).to_be_visible()
    expect(page.get_by_role("textbox", name="消息")).to_have_attribute("placeholder", "想问点什么…")
    page.reload()
    expect(page.get_by_role("tab", name="聊天")).to_be_visible()
    page.get_by_role("button", name="English", exact=True).click()
    expect(page.get_by_role("tab", name="Chat", exact=True)).to_be_visible()
    expect(page.locator("html")).to_have_attribute("lang", "en")


def test_a_gateway_that_does_not_answer_is_told_in_words(tab: Tab) -> None:
    page = tab.go()
    page.route("**/v1/models", lambda route: route.abort())
    page.get_by_label("API key").fill(KEY)
    page.get_by_role("button", name="Connect").click()
    expect(page.get_by_role("alert")).to_contain_text("did not answer")
    tab.complaints.clear()  # The browser's own note of the broken connection.


def test_it_works_on_plain_http_without_a_secure_context(open_tab: OpenTab, served: LiveGateway) -> None:
    tab = open_tab(f"http://gateway.test:{served.port}")
    page = tab.connect()
    assert page.evaluate("[isSecureContext, typeof crypto.randomUUID, typeof navigator.clipboard]") == [
        False,
        "undefined",
        "undefined",
    ]
    say(page, "[scene:echo strip=1] over plain http")
    answer = wait_for_answer(page)
    expect(answer).to_contain_text("over plain http")
    answer.get_by_role("button", name="Copy answer").click()
    expect(answer.get_by_role("button", name="Copied")).to_be_visible()
    clients = choose(page, "Clients")
    clients.get_by_role("button", name="Make a key").click()
    assert len(clients.get_by_label("New key").input_value()) == 46
    videos = choose(page, "Videos")
    videos.get_by_label("Prompt").fill("a ship")
    videos.get_by_role("button", name="Create").click()
    expect(videos.get_by_role("link", name="Open the video")).to_be_visible(timeout=20_000)


class Demo:
    """The demo's server, as hosts/box puts it in front of the app."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, DEMO_KEY: KEY}, receive, send)


def test_the_demo_says_that_it_is_one_and_fills_its_key_in(browser: Browser, served: LiveGateway) -> None:
    with LiveGateway(Demo) as demo:
        tab = Tab(browser, demo.url)
        page = tab.go()
        expect(page.get_by_text("This is the demo")).to_be_visible()
        page.get_by_role("button", name="Connect").click()
        expect(page.get_by_role("tab", name="Chat", exact=True)).to_be_visible()
        expect(page.get_by_text("Demo", exact=True)).to_be_visible()
        tab.close()
