"""For everybody: axe-core, the keyboard alone, narrow screens, both schemes, a prefix in front."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.sync_api import Browser, FloatRect, Page, expect
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.conftest import SimulatedAccount
from tests.page.browsing import Tab, choose, say, wait_for_answer
from tests.page.conftest import OpenTab
from tests.support.client import KEY
from tests.support.live import LiveGateway

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
TABS = ("chat", "images", "videos", "clients", "status")
LOOKS = [
    ("en-US", "light", 1280),
    ("zh-CN", "dark", 390),
    ("en-US", "dark", 390),
    ("zh-CN", "light", 1280),
]
every_look = pytest.mark.parametrize(("locale", "scheme", "width"), LOOKS)
MARKDOWN = "```python\nprint(1)\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |"
SHOTS = os.environ.get("SHOTS")


def faults(page: Page) -> list[str]:
    """Ask axe-core for everything that is serious."""
    page.evaluate(AXE)
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{fault['id']}: {node['html'][:160]}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


def keep_picture(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png")


@every_look
def test_pictures_of_every_tab_are_for_everybody(
    open_tab: OpenTab, locale: str, scheme: str, width: int
) -> None:
    name = f"{locale}-{scheme}-{width}"
    tab = open_tab(locale=locale, color_scheme=scheme, viewport={"width": width, "height": 844})
    page = tab.go()
    assert faults(page) == []
    keep_picture(page, f"{name}-connect")
    page = tab.connect()
    page.locator("#message").fill("[scene:web_search] Shenzhen?")
    page.keyboard.press("Enter")
    wait_for_answer(page)
    page.locator("#message").fill(f"[scene:echo strip=1]\n{MARKDOWN}")
    page.keyboard.press("Enter")
    wait_for_answer(page)
    for one in TABS:
        page.locator(f"#tab-{one}").click()
        if one == "images":
            page.locator("#image-prompt").fill("a cat in the rain")
            page.locator("#panel-images button[type=submit]").click()
            expect(page.locator("#panel-images figure")).to_be_visible()
        if one == "status":
            expect(page.locator(".account-table tbody tr")).to_have_count(1)
            page.locator(".guide summary").click()
        assert faults(page) == [], one
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, one
        keep_picture(page, f"{name}-{one}")


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_a_narrow_screen_breaks_no_word_and_covers_nothing(open_tab: OpenTab, locale: str) -> None:
    tab = open_tab(locale=locale, viewport={"width": 390, "height": 844})
    page = tab.connect()
    page.locator("#demo-badge").evaluate("(badge) => { badge.hidden = false; }")
    assert box(page, ".brand")["height"] < 32
    assert box(page, ".chat-head")["height"] < 100
    for tab_name in ("images", "videos"):
        page.locator(f"#tab-{tab_name}").click()
        choice = box(page, f"#panel-{tab_name} select >> nth=0")
        create = box(page, f"#panel-{tab_name} [type=submit]")
        is_beside = choice["x"] + choice["width"] < create["x"]
        assert is_beside or choice["y"] + choice["height"] < create["y"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def box(page: Page, selector: str) -> FloatRect:
    found = page.locator(selector).bounding_box()
    assert found is not None
    return found


def test_the_two_schemes_differ(open_tab: OpenTab) -> None:
    grounds = {
        open_tab(color_scheme=scheme).go().evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    }
    assert len(grounds) == 2


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))


def test_the_keyboard_alone_is_enough(tab: Tab) -> None:
    page = tab.go()
    assert focused(page) == "api-key"
    page.keyboard.type(KEY)
    page.keyboard.press("Enter")
    expect(page.locator("#message")).to_be_focused()
    page.keyboard.type("[scene:echo strip=1] by keyboard")
    page.keyboard.press("Enter")
    expect(wait_for_answer(page)).to_contain_text("by keyboard")
    expect(page.locator("#message")).to_be_focused()
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.append(focused(page))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", reached
        if reached[-1] == "Send":
            break
    assert reached == ["Attach", "thinking", "search", "Send"]
    page.locator("#tab-chat").focus()
    for name in ("Images", "Videos", "Clients", "Status", "Chat"):
        page.keyboard.press("ArrowRight")
        expect(page.get_by_role("tab", name=name, exact=True)).to_be_focused()
        expect(page.get_by_role("tab", name=name, exact=True)).to_have_attribute("aria-selected", "true")
        expect(page.get_by_role("tabpanel", name=name, exact=True)).to_be_visible()
    page.keyboard.press("End")
    expect(page.get_by_role("tabpanel", name="Status", exact=True)).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("tabpanel", name="Clients", exact=True)).to_be_visible()


def test_the_five_tabs_have_their_names_and_one_panel(tab: Tab) -> None:
    page = tab.connect()
    assert [one.inner_text() for one in page.get_by_role("tab").all()] == [
        "Chat",
        "Images",
        "Videos",
        "Clients",
        "Status",
    ]
    for name in ("Images", "Videos", "Clients", "Status", "Chat"):
        choose(page, name)
        expect(page.get_by_role("tabpanel")).to_have_count(1)
        assert page.get_by_role("tab", selected=True).all_inner_texts() == [name]


class Stage:
    """API Gateway's stage `/prod`, as Mangum hands it on: the path without it, the event with it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            outside = scope["path"]
            inside = outside.removeprefix("/prod") or "/"
            scope = {**scope, "path": inside, "aws.event": {"requestContext": {"path": outside}}}
        await self._app(scope, receive, send)


@pytest.fixture
def staged(environment: pytest.MonkeyPatch, account: SimulatedAccount) -> Iterator[LiveGateway]:
    environment.setenv("API_KEYS", KEY)
    environment.setenv("CHATGLM_REFRESH_TOKENS", account.token)
    with LiveGateway(Stage) as live:
        yield live


@pytest.mark.parametrize("path", ["/prod", "/prod/", "/prod/api", "/prod/api/"])
def test_below_a_stage_everything_stays_below_it(browser: Browser, staged: LiveGateway, path: str) -> None:
    tab = Tab(browser, staged.url)
    page = tab.connect(path=path)
    folder = f"{path.rstrip('/')}/"
    say(page, "[scene:echo strip=1] below a stage")
    expect(wait_for_answer(page)).to_contain_text("below a stage")
    choose(page, "Clients")
    claude = page.get_by_role("article", name="Claude Code", exact=True)
    expect(claude).to_contain_text(f"ANTHROPIC_BASE_URL={staged.url}{path.rstrip('/')}\n")
    outside = [request.url for request in tab.requests if not request.url.startswith(staged.url + folder)]
    assert [url for url in outside if url != staged.url + path] == []
    tab.close()
