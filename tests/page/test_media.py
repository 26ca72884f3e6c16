"""The tabs Images and Videos."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Route, expect

from tests.conftest import Upstream
from tests.page.browsing import Tab, choose, posted
from tests.page.conftest import OpenTab


def order(page: Page, tab_name: str, prompt: str) -> None:
    panel = choose(page, tab_name)
    panel.get_by_role("textbox", name="Prompt").fill(prompt)
    panel.get_by_role("button", name="Create").click()


def test_an_image_is_made_and_shown_with_its_words(tab: Tab) -> None:
    page = tab.connect()
    order(page, "Images", "a cat in the rain")
    picture = page.get_by_role("img", name="a cat in the rain")
    expect(picture).to_be_visible()
    assert (picture.get_attribute("src") or "").startswith("data:image/")
    assert picture.evaluate("(image) => image.naturalWidth") > 0
    assert (page.get_by_role("link", name="Download").get_attribute("download") or "").startswith("glm-")


def test_the_order_of_an_image_asks_for_one_picture_as_bytes(tab: Tab) -> None:
    page = tab.connect()
    panel = choose(page, "Images")
    panel.get_by_label("Shape").select_option("16:9")
    order(page, "Images", "a cat")
    expect(page.get_by_role("img", name="a cat")).to_be_visible()
    (body,) = posted(tab, "/v1/images/generations")
    assert body == {"prompt": "a cat", "size": "16:9", "n": 1, "response_format": "b64_json"}


def test_a_refused_image_is_told_in_the_upstreams_words_and_can_be_cancelled(
    tab: Tab, upstream: Upstream
) -> None:
    page = tab.connect()
    order(page, "Images", "[scene:intervene] something")
    alert = page.get_by_role("tabpanel", name="Images").get_by_role("alert")
    expect(alert).to_contain_text("Change the words")
    assert "{" not in alert.inner_text()
    upstream.sim.pace_s = 0.2
    order(page, "Images", "[scene:text chars=20000]")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Create")).to_be_enabled()
    expect(page.get_by_text("Drawing…")).to_have_count(0)


def test_a_prompt_is_needed(tab: Tab) -> None:
    page = tab.connect()
    for name in ("Images", "Videos"):
        order(page, name, "  ")
        expect(page.get_by_role("tabpanel", name=name).get_by_role("alert")).to_contain_text("Write a prompt")


def test_a_video_is_made_and_loaded_only_after_a_click(tab: Tab) -> None:
    page = tab.connect()
    order(page, "Videos", "a ship at sea")
    panel = page.get_by_role("tabpanel", name="Videos")
    expect(panel.get_by_role("progressbar")).to_be_visible()
    link = panel.get_by_role("link", name="Open the video")
    expect(link).to_be_visible(timeout=30_000)
    expect(panel.get_by_role("progressbar")).to_have_count(0)
    expect(page.locator("video")).to_have_count(0)
    assert tab.foreign == []
    address = link.get_attribute("href") or ""
    page.context.route(address, lambda route: route.fulfill(status=200, content_type="video/mp4", body=b""))
    tab.allowed.add(address)
    with page.expect_request(address):
        panel.get_by_role("button", name="Play here").click()
    expect(page.locator("video")).to_have_attribute("src", address)
    (body,) = posted(tab, "/v1/videos/generations")
    assert body == {"prompt": "a ship at sea", "model": "cogvideox", "wait": 0}


def test_a_video_shows_its_progress_and_survives_a_reload(tab: Tab) -> None:
    page = tab.connect()

    def answer(route: Route) -> None:
        status = "queued" if route.request.method == "POST" else "in_progress"
        route.fulfill(json={"id": "video_1", "object": "video", "status": status, "progress": 42})

    page.route("**/v1/videos/generations**", answer)
    order(page, "Videos", "a ship")
    panel = page.get_by_role("tabpanel", name="Videos")
    expect(panel).to_contain_text("42 %")
    expect(panel.get_by_role("progressbar")).to_have_attribute("value", "42")
    page.reload()
    choose(page, "Videos")
    expect(panel).to_contain_text("a ship")
    expect(panel).to_contain_text("42 %")
    with page.expect_request(lambda request: request.method == "DELETE") as deleted:
        page.route("**/v1/videos/video_1", lambda route: route.fulfill(json={"deleted": True}))
        panel.get_by_role("button", name="Cancel").click()
    assert deleted.value.url.endswith("/v1/videos/video_1")
    expect(panel.get_by_role("progressbar")).to_have_count(0)
    page.reload()
    expect(choose(page, "Videos")).to_contain_text("Your videos will appear here")


@pytest.mark.parametrize(("locale", "words"), [("en-US", "Being made…"), ("zh-CN", "生成中…")])
def test_a_video_without_a_percentage_shows_none(open_tab: OpenTab, locale: str, words: str) -> None:
    page = open_tab(locale=locale).connect()
    page.route(
        "**/v1/videos/generations**",
        lambda route: route.fulfill(json={"id": "v", "status": "in_progress", "progress": 0}),
    )
    page.locator("#tab-videos").click()
    page.locator("#video-prompt").fill("a ship")
    page.locator("#panel-videos [type=submit]").click()
    panel = page.get_by_role("tabpanel")
    expect(panel.locator(".video-state")).to_have_text(words)
    # A bar without a value moves, and says no number to a screen reader either.
    assert panel.get_by_role("progressbar").get_attribute("value") is None


def test_a_failed_video_is_told_in_words(tab: Tab) -> None:
    page = tab.connect()
    order(page, "Videos", "[scene:video_failed queue=0 work=0] a ship")
    panel = page.get_by_role("tabpanel", name="Videos")
    expect(panel.get_by_role("alert")).to_be_visible(timeout=30_000)
    expect(panel).to_contain_text("Failed")
    panel.get_by_role("button", name="Remove from the list").click()
    expect(panel.get_by_role("article")).to_have_count(0)


def test_an_address_that_is_none_is_no_link(tab: Tab) -> None:
    page = tab.connect()
    page.route(
        "**/v1/videos/generations**",
        lambda route: route.fulfill(
            json={"id": "v", "status": "completed", "data": [{"video_url": "javascript:alert(1)"}]}
        ),
    )
    order(page, "Videos", "a ship")
    panel = page.get_by_role("tabpanel", name="Videos")
    expect(panel).to_contain_text("Done")
    expect(panel.get_by_role("link")).to_have_count(0)
    expect(panel.get_by_role("button", name="Play here")).to_have_count(0)
