"""The page in front of the official API, beside the account or alone."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from lib.upstreams.official import names
from simulator.official.app import Official
from simulator.official.server import OfficialServer
from tests.conftest import Upstream
from tests.page.browsing import Tab, choose, posted, say, wait_for_answer

CHAT = "/v1/chat/completions"


@pytest.fixture
def both(
    tab: Tab,
    upstream: Upstream,
    official: Official,
    official_server: OfficialServer,
    environment: pytest.MonkeyPatch,
) -> Tab:
    """Give a page of a gateway with one account and one key of the official API."""
    environment.setenv("GLM_API_BASE_URL", official_server.base_url)
    environment.setenv("GLM_API_KEYS", official.add_key())
    # The imitation serves its own pictures.
    address = urlsplit(official_server.base_url).netloc
    environment.setattr(official, "file_base", f"http://{address}")
    environment.setenv("FETCH_ALLOW_HOSTS", f"{urlsplit(upstream.base_url).netloc},{address}")
    return tab


@pytest.fixture
def alone(both: Tab, environment: pytest.MonkeyPatch) -> Tab:
    """Give the same without an account."""
    environment.delenv("CHATGLM_REFRESH_TOKENS")
    return both


def group(page: Page, select: str, name: str) -> list[str | None]:
    options = page.locator(f"{select} optgroup[label='{name}'] option")
    expect(options.first).to_be_attached()
    return [option.get_attribute("value") for option in options.all()]


def order(page: Page, tab_name: str) -> None:
    panel = choose(page, tab_name)
    panel.get_by_role("textbox", name="Prompt").fill("a cat")
    panel.get_by_role("button", name="Create").click()


def test_the_models_of_each_upstream_stand_in_a_group_of_their_own(both: Tab) -> None:
    page = both.connect()
    assert "glm-5.3-flash" in group(page, "#model", "Your account")
    assert "glm-4.7" in group(page, "#model", "Official API")
    page.get_by_role("button", name="中文").click()
    assert "glm-4.7" in group(page, "#model", "官方 API")


def test_a_kept_conversation_sends_an_official_model_all_messages(both: Tab) -> None:
    page = both.connect()
    page.get_by_role("checkbox", name="Keep at chatglm.cn").check()
    say(page, "[scene:echo strip=1] one")
    wait_for_answer(page)
    page.get_by_label("Model", exact=True).select_option("glm-4.7")
    expect(page.get_by_role("checkbox", name="Keep at chatglm.cn")).to_be_hidden()
    for words in ("two", "three"):
        say(page, words)
        expect(wait_for_answer(page)).to_contain_text(words)
    page.get_by_label("Model", exact=True).select_option("glm-5.3")
    say(page, "[scene:echo strip=1] four")
    wait_for_answer(page)
    bodies = posted(both, CHAT)
    assert [len(body["messages"]) for body in bodies] == [1, 3, 5, 7]
    # The conversation at chatglm.cn lacks two answers, so another one begins there.
    assert [body.get("conversation_id") for body in bodies] == ["", None, None, ""]


HINTS = [
    (
        {"refused": "1003"},
        ("it was the official API, correct GLM_API_KEYS", "官方 API 拒绝了，就改正 GLM_API_KEYS"),
    ),
    ({"has_balance": False}, ("Choose a free model", "请换免费模型")),
    ({"refused": "1112"}, ("settle it with the vendor", "到官方平台处理")),
    ({"refused": "1302"}, ("The upstream asks for a pause", "上游要求歇一会儿")),
]


@pytest.mark.parametrize(("key", "words"), HINTS)
def test_a_refusal_of_the_official_api_names_its_own_next_step(
    alone: Tab, official: Official, environment: pytest.MonkeyPatch, key: Any, words: tuple[str, str]
) -> None:
    environment.setenv("GLM_API_KEYS", official.add_key(**key))
    page = alone.connect()
    page.get_by_label("Model", exact=True).select_option("glm-4.7")
    say(page, "hello")
    hint = page.get_by_role("alert").locator(".hint").first
    expect(hint).to_contain_text(words[0])
    expect(hint).not_to_contain_text("chatglm.cn")
    page.get_by_role("button", name="中文").click()
    expect(hint).to_contain_text(words[1])


def test_pictures_and_videos_can_be_made_by_an_official_model(both: Tab) -> None:
    page = both.connect()
    official = group(page, "#image-model", "Official API")
    assert set(official) < set(names.IMAGES)
    assert set(group(page, "#video-choice", "Official API")) < set(names.VIDEOS)
    choose(page, "Images").get_by_label("Drawn by").select_option("cogview-4")
    order(page, "Images")
    expect(page.get_by_role("img", name="a cat")).to_be_visible()
    assert posted(both, "/v1/images/generations")[0]["model"] == "cogview-4"
    choose(page, "Videos").get_by_label("Kind").select_option("cogvideox-3")
    order(page, "Videos")
    expect(page.get_by_role("heading", name="a cat")).to_be_visible()
    assert posted(both, "/v1/videos/generations")[0]["model"] == "cogvideox-3"


def test_without_an_account_only_the_official_models_are_offered(alone: Tab) -> None:
    page = alone.connect()
    assert group(page, "#image-model", "Official API")[0] == names.FREE_IMAGES
    assert group(page, "#video-choice", "Official API")[0] == names.FREE_VIDEOS
    for select in ("#model", "#image-model", "#video-choice"):
        assert page.locator(f"{select} optgroup").count() == 1
    expect(page.get_by_text("This gateway has no account yet")).to_be_hidden()
    expect(page.get_by_role("checkbox", name="Keep at chatglm.cn")).to_be_hidden()
    order(page, "Images")
    expect(page.get_by_role("img", name="a cat")).to_be_visible()


def test_the_models_follow_the_accounts_and_the_chosen_one_stays(alone: Tab, upstream: Upstream) -> None:
    added = upstream.add_account()
    page = alone.connect()
    models = page.get_by_label("Model", exact=True)
    models.select_option("glm-4.7")
    panel = choose(page, "Status")
    panel.get_by_role("textbox", name="Refresh token").fill(added.token)
    panel.get_by_role("button", name="Add", exact=True).click()
    expect(panel).to_contain_text("was added")
    assert "glm-5.3-flash" in group(page, "#model", "Your account")
    choose(page, "Chat")
    expect(models).to_have_value("glm-4.7")
    models.select_option("glm-5.3-think")
    expect(page.get_by_role("checkbox", name="Keep at chatglm.cn")).to_be_visible()
    choose(page, "Status").get_by_role("button", name="Remove").click()
    expect(page.locator("#model optgroup[label='Your account']")).to_have_count(0)
    choose(page, "Chat")
    expect(models).not_to_have_value("glm-5.3-think")
    expect(page.get_by_role("checkbox", name="Keep at chatglm.cn")).to_be_hidden()


def test_without_an_official_key_there_is_no_choice_of_a_models_upstream(tab: Tab) -> None:
    page = tab.connect()
    expect(page.locator("#model option").first).to_be_attached()
    assert page.locator("#image-model optgroup, #video-choice optgroup").count() == 0
    expect(choose(page, "Images").get_by_label("Drawn by")).to_be_hidden()
