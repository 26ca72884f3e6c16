"""The tab Status: accounts are added, replaced and removed, and the chat works again without a restart."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Page, Route, expect

from lib.upstreams.official.wire.keys import Key
from simulator.official.app import Official
from simulator.official.server import OfficialServer
from tests.conftest import SimulatedAccount, Upstream
from tests.page.browsing import Tab, choose, posted, say, wait_for_answer
from tests.page.conftest import OpenTab
from tests.support.client import KEY, Client
from tests.unit.upstreams.chatglm.accounts.fakes import make_jwt


def add(page: Page, text: str) -> None:
    page.get_by_role("textbox", name="Refresh token").fill(text)
    page.get_by_role("button", name="Add", exact=True).click()


def row(page: Page, label: str) -> str:
    return str(page.get_by_role("row").filter(has_text=label).inner_text())


def test_everything_is_told_in_one_look(tab: Tab, account: SimulatedAccount) -> None:
    page = tab.connect()
    panel = choose(page, "Status")
    expect(panel).to_contain_text("Streams arrive as they are made: yes")
    expect(panel).to_contain_text("All is well.")
    for words in (
        "sqlite works",
        "Clock",
        "Version",
        "Python",
        "No key is set (GLM_API_KEYS)",
        "None since",
        "in the settings",
    ):
        expect(panel).to_contain_text(words)
    assert "Ready" in row(page, account.label) or "Not asked yet" in row(page, account.label)


@pytest.mark.parametrize(
    ("platform", "words"), [("other", "made: no"), ("lambda", "not measured on this host")]
)
def test_a_stream_that_arrives_at_once_is_told(tab: Tab, platform: str, words: str) -> None:
    page = tab.connect()
    events = "".join(f'data: {{"number":{number}}}\n\n' for number in range(5))
    page.route(
        "**/health?stream=1", lambda route: route.fulfill(content_type="text/event-stream", body=events)
    )

    def on_platform(route: Route) -> None:
        health = route.fetch().json()
        route.fulfill(json={**health, "versions": {**health["versions"], "platform": platform}})

    page.route("**/health?deep=1", on_platform)
    expect(choose(page, "Status")).to_contain_text(words)


def test_each_key_of_the_official_api_is_told_with_its_state(
    tab: Tab, environment: pytest.MonkeyPatch, official: Official, official_server: OfficialServer
) -> None:
    good, refused = official.add_key(), official.add_key(refused="1003")
    environment.setenv("GLM_API_BASE_URL", official_server.base_url)
    environment.setenv("GLM_API_KEYS", f"{good},{refused}")
    panel = choose(tab.connect(), "Status")
    expect(panel).to_contain_text(f"{Key(good).label} · Works")
    expect(panel).to_contain_text(f"{Key(refused).label} · Key refused")
    assert not [part for key in (good, refused) for part in key.split(".") if part in tab.page.content()]


def test_an_account_is_added_used_and_removed(
    tab: Tab, upstream: Upstream, environment: pytest.MonkeyPatch
) -> None:
    environment.delenv("CHATGLM_REFRESH_TOKENS")
    added = upstream.add_account()
    page = tab.connect()
    panel = choose(page, "Status")
    expect(panel).to_contain_text("No account yet")
    add(page, added.token)
    expect(panel).to_contain_text(f"Account {added.label} was added.")
    expect(page.get_by_role("row").filter(has_text=added.label)).to_be_visible()
    assert page.get_by_role("textbox", name="Refresh token").input_value() == ""
    assert added.token not in page.content()
    choose(page, "Chat")
    expect(page.get_by_text("This gateway has no account yet")).to_be_hidden()
    say(page, "[scene:echo strip=1] at last")
    expect(wait_for_answer(page)).to_contain_text("at last")
    choose(page, "Status")
    page.get_by_role("row").filter(has_text=added.label).get_by_role("button", name="Remove").click()
    expect(panel).to_contain_text(f"Account {added.label} was removed.")
    expect(panel).to_contain_text("No account yet")


def test_a_dead_token_is_replaced_without_a_restart_and_the_chat_works_again(
    tab: Tab, upstream: Upstream, client: Client, environment: pytest.MonkeyPatch
) -> None:
    environment.delenv("CHATGLM_REFRESH_TOKENS")
    added = upstream.add_account()
    client.post("/tokens", {"token": added.token})
    upstream.sim.revoke(added.uid)
    upstream.sim.expire_access_tokens(added.uid)
    page = tab.connect()
    say(page, "[scene:echo strip=1] hello")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("replace the token that was refused")
    choose(page, "Status")
    assert "Token refused" in row(page, added.label)
    assert "press Replace and paste the new token" in row(page, added.label)
    page.get_by_role("row").filter(has_text=added.label).get_by_role("button", name="Replace").click()
    expect(page.get_by_role("textbox", name="Refresh token")).to_be_focused()
    add(page, upstream.sim.log_in(added.uid))
    expect(page.get_by_role("tabpanel", name="Status")).to_contain_text(
        f"The token of account {added.label} was replaced."
    )
    choose(page, "Chat")
    alert.get_by_role("button", name="Try again").click()
    expect(wait_for_answer(page)).to_contain_text("hello")


def test_an_account_of_the_settings_has_no_button_that_cannot_work(
    tab: Tab, account: SimulatedAccount
) -> None:
    page = tab.connect()
    choose(page, "Status")
    shown = page.get_by_role("row").filter(has_text=account.label)
    expect(shown).to_be_visible()
    expect(shown.get_by_role("button", name="Remove")).to_have_count(0)


COOKIES = (
    "acw_tc=0a47; chatglm_token={access}; chatglm_refresh_token={refresh}; chatglm_user_id=65f0",
    "chatglm_refresh_token={refresh}",
    "  {refresh}\n",
    "chatglm_token\t{access}\nchatglm_refresh_token\t{refresh}\n",
    '{{"chatglm_token": "{access}", "chatglm_refresh_token": "{refresh}"}}',
    'Cookie: a=b; chatglm_refresh_token="{refresh}"; c=d',
)


@pytest.mark.parametrize("pasted", COOKIES)
def test_the_refresh_token_is_found_in_the_pasted_text_and_nothing_else_is_sent(
    tab: Tab, upstream: Upstream, pasted: str
) -> None:
    added = upstream.add_account()
    page = tab.connect()
    choose(page, "Status")
    add(page, pasted.format(access=make_jwt(type="access"), refresh=added.token))
    expect(page.get_by_role("tabpanel", name="Status")).to_contain_text("was added")
    assert posted(tab, "/tokens") == [{"token": added.token}]


NAMED = (
    '{{"name":"chatglm_refresh_token","value":"{token}"}}',
    '[{{"name":"chatglm_token","value":"{access}"}},{{"name":"chatglm_refresh_token","value":"{token}"}}]',
    '{{\n  "name": "chatglm_refresh_token",\n  "path": "/",\n  "value": "{token}",\n  "id": 7\n}}',
    "{{'name': 'chatglm_refresh_token', 'value': '{token}'}}",
)


@pytest.mark.parametrize("pasted", NAMED)
def test_a_token_without_a_kind_is_found_by_the_name_of_its_cookie(paper: Page, pasted: str) -> None:
    token, access = make_jwt(uid="a"), make_jwt(uid="b")
    find = "async (text) => (await import('./token.js')).findToken(text)"
    assert paper.evaluate(find, pasted.format(token=token, access=access)) == token


def jwt(kind: str, ends_in_s: float = 1e6, **claims: object) -> str:
    return make_jwt(type=kind, exp=int(time.time() + ends_in_s), **claims)


@pytest.mark.parametrize(
    ("pasted", "words"),
    [
        (jwt("access"), "This is an access token"),
        (f"chatglm_token={jwt('access')}", "Copy the cookie chatglm_refresh_token"),
        (jwt("refresh", -90_000), "expired on"),
        ("hello, this is some long text without anything of the kind", "There is no refresh token"),
        ("", "Paste the refresh token first"),
        (f"{jwt('refresh', uid='a')} {jwt('refresh', uid='b')}", "several different refresh tokens"),
    ],
)
def test_a_text_without_a_good_token_is_told_before_anything_is_sent(
    tab: Tab, pasted: str, words: str
) -> None:
    page = tab.connect()
    choose(page, "Status")
    add(page, pasted)
    expect(page.get_by_role("tabpanel", name="Status").get_by_role("alert")).to_contain_text(words)
    assert posted(tab, "/tokens") == []


def test_a_guest_a_dead_token_and_a_known_one_are_told_in_words(
    tab: Tab, upstream: Upstream, account: SimulatedAccount
) -> None:
    guest, dead = upstream.add_account(guest=True), upstream.add_account()
    upstream.sim.revoke(dead.uid)
    page = tab.connect()
    choose(page, "Status")
    alert = page.get_by_role("tabpanel", name="Status").get_by_role("alert")
    for token, words in (
        (guest.token, "belongs to a visitor"),
        (dead.token, "Log in again and copy the new one"),
        (account.token, "has this token already"),
    ):
        add(page, token)
        expect(alert).to_contain_text(words)
        expect(page.get_by_role("button", name="Add", exact=True)).to_be_enabled()


def test_a_store_that_forgets_is_told_and_takes_no_account(tab: Tab, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("STORE_URL", "memory://")
    panel = choose(tab.connect(), "Status")
    expect(panel).to_contain_text("Accounts cannot be added here")
    expect(panel.get_by_role("button", name="Add", exact=True)).to_be_disabled()


def test_a_refused_token_that_cannot_be_replaced_here_is_replaced_in_the_settings(
    tab: Tab, environment: pytest.MonkeyPatch, upstream: Upstream, account: SimulatedAccount
) -> None:
    environment.setenv("STORE_URL", "memory://")
    upstream.sim.revoke(account.uid)
    page = tab.connect()
    say(page, "[scene:echo strip=1] hello")
    expect(page.get_by_role("log")).to_have_attribute("aria-busy", "false")
    panel = choose(page, "Status")
    expect(panel).to_contain_text("write the new token into CHATGLM_REFRESH_TOKENS")
    expect(panel.get_by_role("button", name="Replace")).to_have_count(0)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("busy", "The next one waits for it"),
        ("resting", "uses it again by itself"),
        ("blocked", "Another account can be added meanwhile"),
        ("unknown", "Its first request will tell"),
    ],
)
def test_each_state_has_its_next_step(tab: Tab, state: str, words: str) -> None:
    page = tab.connect()
    account = {"label": "0a1b2c3d", "source": "store", "state": state, "until": None, "expires_at": None}
    listed = {"accounts": [account], "can_add": True, "why": None}
    page.route("**/tokens", lambda route: route.fulfill(json=listed))
    choose(page, "Status")
    expect(page.get_by_role("row").filter(has_text="0a1b2c3d")).to_contain_text(words)


def name_the_repository(page: Page, url: str, name: str) -> None:
    """Give the page this name, whichever stands in it: a copy's first push writes its own."""

    def named(route: Route) -> None:
        response = route.fetch()
        body = re.sub(r'(glm-gateway-repository" content=")[^"]*', rf"\g<1>{name}", response.text())
        route.fulfill(response=response, body=body)

    page.unroute(f"{url}/")
    page.route(f"{url}/", named)
    page.reload()


def test_the_documents_are_linked_once_the_repository_has_a_name(tab: Tab) -> None:
    page = tab.connect()
    links = page.get_by_role("tabpanel", name="Status").get_by_role("link")
    name_the_repository(page, tab.url, "OWNER/glm-gateway")
    choose(page, "Status")
    expect(links).to_have_count(2)
    name_the_repository(page, tab.url, "ada/gate-way")
    choose(page, "Status")
    link = page.get_by_role("link", name="Clients")
    expect(link).to_have_attribute("href", "https://github.com/ada/gate-way/blob/HEAD/docs/clients.md")
    expect(link).to_have_attribute("rel", "noopener noreferrer")


def test_the_last_error_is_shown_with_its_request(tab: Tab, upstream: Upstream) -> None:
    upstream.sim.fail("assistant/stream", status=500, times=9)
    page = tab.connect()
    say(page, "hello")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(choose(page, "Status")).to_contain_text("502 upstream_error · /v1/chat/completions")


def test_the_way_to_the_token_is_shown_in_pictures(tab: Tab) -> None:
    page = tab.connect()
    panel = choose(page, "Status")
    assert [request.url for request in tab.requests if "token-" in request.url] == []
    panel.get_by_text("How to get the refresh token").click()
    pictures = panel.get_by_role("img").all()
    assert len(pictures) == 3
    for picture in pictures:
        picture.scroll_into_view_if_needed()
        expect(picture).to_have_js_property("complete", True)
        assert picture.evaluate("(image) => image.naturalWidth") == 520
        assert len(picture.get_attribute("alt") or "") > 40


def test_a_visitors_own_token_sees_no_accounts(
    open_tab: OpenTab, environment: pytest.MonkeyPatch, upstream: Upstream
) -> None:
    environment.setenv("ALLOW_PASSTHROUGH", "true")
    tab = open_tab()
    page = tab.connect(upstream.add_account().token)
    panel = choose(page, "Status")
    expect(panel.get_by_role("alert")).to_contain_text("Only the owner's key shows this")
    expect(panel.get_by_role("textbox", name="Refresh token")).to_be_hidden()
    assert KEY not in page.content()
