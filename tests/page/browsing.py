"""The browser as the tests use it: one page at a time, and a record of what it must not do."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    Route,
    expect,
    sync_playwright,
)

from tests.support.client import KEY

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A name that is no loopback name: there the browser has no secure context, as on plain http at home.
    "--host-resolver-rules=MAP gateway.test 127.0.0.1",
)
NOTES = (
    # Statuses of 400 or more are a part of the tests.
    "the server responded with a status of",
    # On plain http the browser has no use for this header.
    "The Cross-Origin-Opener-Policy header has been ignored",
)
"""The browser itself notes these."""
WAIT_MS = 10_000
MAX_FRAMES = 600
"""A browser draws sixty in a second."""
expect.set_options(timeout=WAIT_MS)


@contextmanager
def open_browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("BROWSER", "/usr/bin/chromium"), args=ARGUMENTS
        )
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """One page in a context of its own. It records foreign requests and script errors."""

    def __init__(self, browser: Browser, url: str, **context: Any) -> None:
        self.url = url
        self.requests: list[Request] = []
        self.foreign: list[str] = []
        self.allowed: set[str] = set()
        """Addresses elsewhere that the user asked for. A browser may ask for a video several times."""
        self.complaints: list[str] = []
        options = {"locale": "en-US", "color_scheme": "light", "viewport": {"width": 1280, "height": 860}}
        self.context = browser.new_context(**{**options, **context})
        self.context.set_default_timeout(WAIT_MS)
        self.page = self.new_page()

    def new_page(self) -> Page:
        page = self.context.new_page()
        page.on("request", self._on_request)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("console", self._on_console)
        return page

    def _on_request(self, request: Request) -> None:
        self.requests.append(request)
        origin = urlsplit(request.url)
        if request.url in self.allowed:
            return
        if origin.scheme in ("http", "https", "ws", "wss") and origin.netloc != urlsplit(self.url).netloc:
            self.foreign.append(request.url)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(note in message.text for note in NOTES):
            self.complaints.append(message.text)

    def go(self, path: str = "/") -> Page:
        self.page.goto(self.url + path)
        expect(self.page.locator("#connect, #app").locator("visible=true").first).to_be_visible()
        return self.page

    def connect(self, key: str = KEY, path: str = "/") -> Page:
        """Open the page and give it the key."""
        self.go(path)
        self.page.locator("#api-key").fill(key)
        self.page.locator("#connect-button").click()
        expect(self.page.locator("#tab-chat")).to_be_visible()
        return self.page

    def close(self) -> None:
        """Hold that the page did nothing that it must not do."""
        self.context.close()
        assert self.foreign == [], self.foreign
        assert self.complaints == [], self.complaints


class Held:
    """Requests of a page that wait until the test answers them."""

    def __init__(self, page: Page, pattern: str, method: str = "") -> None:
        self._page = page
        self._method = method
        self._routes: list[Route] = []
        page.route(pattern, self._take)

    def _take(self, route: Route) -> None:
        if self._method in ("", route.request.method):
            self._routes.append(route)
        else:
            route.continue_()

    def first(self, count: int) -> list[Route]:
        """Let the browser go on until it has made so many requests, and return these."""
        for _ in range(MAX_FRAMES):
            if len(self._routes) >= count:
                break
            self._page.evaluate("() => new Promise(requestAnimationFrame)")
        assert len(self._routes) >= count, [route.request.url for route in self._routes]
        return self._routes[:count]


def choose(page: Page, name: str) -> Locator:
    """Choose a tab by its English name, and return its panel."""
    page.get_by_role("tab", name=name, exact=True).click()
    panel = page.get_by_role("tabpanel", name=name, exact=True)
    expect(panel).to_be_visible()
    return panel


def say(page: Page, text: str) -> None:
    page.get_by_role("textbox", name="Message").fill(text)
    page.keyboard.press("Enter")


def wait_for_answer(page: Page) -> Locator:
    """Wait until the last answer is complete, and return it."""
    expect(page.get_by_role("log")).to_have_attribute("aria-busy", "false")
    return page.get_by_role("log").locator("article.assistant").last


def posted(tab: Tab, path: str) -> list[Mapping[str, Any]]:
    """The bodies of the requests to a path, in order."""
    return [
        request.post_data_json
        for request in tab.requests
        if request.method == "POST" and request.url.endswith(path)
    ]
