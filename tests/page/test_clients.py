"""The tab Clients: each program with this gateway's own address."""

from __future__ import annotations

import json
import re
import tomllib

import pytest
from playwright.sync_api import Page, expect

from tests.page.browsing import Tab, choose
from tests.support.client import KEY

ROOT_CLIENTS = ("Cherry Studio", "NextChat", "Claude Code", "Gemini CLI", "Anthropic SDK · Python")
MANY = "ChatBox, LobeChat, Dify, n8n, AstrBot, NoneBot, Koishi"
V1_CLIENTS = ("Open WebUI", "Codex", "opencode", "qwen-code", "aider", "OpenAI SDK · Python", MANY)


def blocks(page: Page, client: str) -> list[str]:
    card = page.get_by_role("article", name=client, exact=True)
    return [str(block.text_content()) for block in card.locator("pre code").all()]


@pytest.fixture
def page(tab: Tab) -> Page:
    page = tab.connect()
    choose(page, "Clients")
    return page


def test_each_client_gets_the_address_that_it_wants(page: Page, tab: Tab) -> None:
    for client in ROOT_CLIENTS:
        text = "\n".join(blocks(page, client))
        assert tab.url in text, client
        assert f"{tab.url}/v1" not in text, client
    for client in V1_CLIENTS:
        text = "\n".join(blocks(page, client))
        assert re.search(rf"{tab.url}/v1(?![/\w])", text), client
    assert blocks(page, "沉浸式翻译 · Immersive Translate") == [f"{tab.url}/v1/chat/completions"]
    for card in page.get_by_role("article").all():
        assert card.get_by_role("button", name=re.compile("^Copy")).count() >= 1


def test_the_blocks_are_what_the_programs_read(page: Page, tab: Tab) -> None:
    codex = tomllib.loads(blocks(page, "Codex")[0])
    assert codex["model_providers"]["glm"] == {
        "name": "glm-gateway",
        "base_url": f"{tab.url}/v1",
        "env_key": "GLM_GATEWAY_KEY",
        "wire_api": "responses",
    }
    opencode = json.loads(blocks(page, "opencode")[0])
    assert opencode["provider"]["glm"]["options"]["baseURL"] == f"{tab.url}/v1"
    for client in ("OpenAI SDK · Python", "Anthropic SDK · Python"):
        compile(blocks(page, client)[0], "shown.py", "exec")


def test_the_key_is_in_the_examples_only_if_that_is_wanted(page: Page) -> None:
    panel = page.get_by_role("tabpanel", name="Clients")
    assert KEY not in panel.inner_text()
    panel.get_by_label("Put my key into the examples").check()
    assert f"ANTHROPIC_AUTH_TOKEN={KEY}" in blocks(page, "Claude Code")[0]
    panel.get_by_label("Put my key into the examples").uncheck()
    assert KEY not in panel.inner_text()


def test_a_block_is_copied_as_it_stands(page: Page, tab: Tab) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    card = page.get_by_role("article", name="Claude Code", exact=True)
    card.get_by_role("button", name="Copy commands").click()
    expect(card.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == blocks(page, "Claude Code")[0]
    page.get_by_role("button", name="Copy address").first.click()
    assert page.evaluate("navigator.clipboard.readText()") == tab.url


def test_a_made_key_is_strong_and_another_each_time(page: Page, tab: Tab) -> None:
    made = set()
    for _ in range(5):
        page.get_by_role("button", name="Make a key").click()
        made.add(page.get_by_label("New key").input_value())
    assert len(made) == 5
    assert [key for key in made if not re.fullmatch(r"sk-[\w-]{43}", key)] == []
    before = len(tab.requests)
    page.get_by_role("button", name="Make a key").click()
    assert len(tab.requests) == before
