"""The tab Status while the deep check runs, and after it has failed."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.conftest import SimulatedAccount, Upstream
from tests.page.browsing import Held, Tab, choose
from tests.support.client import Client

DEEP = "**/health?deep=1"


def add(page: Page, text: str) -> None:
    page.get_by_role("textbox", name="Refresh token").fill(text)
    page.get_by_role("button", name="Add", exact=True).click()


def row(page: Page, label: str) -> Locator:
    return page.get_by_role("row").filter(has_text=label)


def test_accounts_are_shown_added_and_removed_while_the_deep_check_runs(
    tab: Tab, upstream: Upstream, account: SimulatedAccount, client: Client
) -> None:
    kept, added = upstream.add_account(), upstream.add_account()
    client.post("/tokens", {"token": kept.token})
    page = tab.connect()
    held = Held(page, DEEP)
    panel = choose(page, "Status")
    expect(row(page, account.label)).to_be_visible()
    add(page, added.token)
    expect(panel).to_contain_text(f"Account {added.label} was added.")
    expect(row(page, added.label)).to_be_visible()
    expect(panel.get_by_role("alert")).to_have_count(0)
    row(page, added.label).get_by_role("button", name="Remove").click()
    expect(panel).to_contain_text(f"Account {added.label} was removed.")
    focused = row(page, kept.label).get_by_role("button", name="Replace")
    focused.focus()
    held.first(1)[0].continue_()
    expect(panel).to_contain_text("Streams arrive as they are made: yes")
    expect(row(page, added.label)).to_have_count(0)
    expect(focused).to_be_focused()
    expect(panel.get_by_role("alert")).to_have_count(0)


def test_the_end_of_the_deep_check_lets_no_token_be_added_twice(tab: Tab, upstream: Upstream) -> None:
    added = upstream.add_account()
    page = tab.connect()
    checks, orders = Held(page, DEEP), Held(page, "**/tokens", "POST")
    panel = choose(page, "Status")
    add(page, added.token)
    expect(panel).to_contain_text("Checking with chatglm.cn")
    checks.first(1)[0].continue_()
    expect(panel).to_contain_text("Streams arrive as they are made: yes")
    expect(page.get_by_role("button", name="Add", exact=True)).to_be_disabled()
    orders.first(1)[0].continue_()
    expect(row(page, added.label)).to_be_visible()
    expect(page.get_by_role("button", name="Add", exact=True)).to_be_enabled()


def test_a_list_from_before_a_change_does_not_hide_the_change(tab: Tab, upstream: Upstream) -> None:
    added = upstream.add_account()
    with tab.page.expect_response("**/tokens"):
        page = tab.connect()
    held = Held(page, "**/tokens", "GET")
    choose(page, "Status")
    (early,) = held.first(1)
    before = early.fetch()
    add(page, added.token)
    expect(page.get_by_role("tabpanel")).to_contain_text("was added")
    held.first(2)[1].continue_()
    expect(row(page, added.label)).to_be_visible()
    with page.expect_response("**/health?stream=1"):
        early.fulfill(response=before)
    expect(row(page, added.label)).to_be_visible()


@pytest.mark.parametrize(
    ("status", "words"), [(504, "The host ended the request"), (0, "The gateway did not answer")]
)
def test_a_failed_deep_check_hides_neither_the_accounts_nor_the_form(
    tab: Tab, upstream: Upstream, account: SimulatedAccount, status: int, words: str
) -> None:
    added = upstream.add_account()
    page = tab.connect()
    page.route(DEEP, lambda route: route.fulfill(status=status, body="<html>") if status else route.abort())
    panel = choose(page, "Status")
    expect(panel.get_by_role("alert")).to_contain_text(words)
    expect(row(page, account.label)).to_be_visible()
    add(page, added.token)
    expect(row(page, added.label)).to_be_visible()
    expect(panel.get_by_role("alert")).to_have_count(1)
    tab.complaints.clear()  # The browser's own note of the broken connection.


def test_a_gateway_that_does_not_answer_at_all_is_told_without_a_false_list(tab: Tab) -> None:
    page = tab.connect()
    page.route("**/tokens", lambda route: route.abort())
    page.route("**/health?deep=1**", lambda route: route.abort())
    panel = choose(page, "Status")
    expect(panel.get_by_role("alert")).to_contain_text("The gateway did not answer")
    panel.get_by_role("button", name="Check again").click()
    expect(panel.get_by_role("button", name="Check again")).to_be_enabled()
    expect(panel.get_by_role("alert")).to_contain_text("The gateway did not answer")
    expect(panel.get_by_text("No account yet")).to_have_count(0)
    expect(panel.get_by_text("Checking…")).to_have_count(0)
    expect(panel.get_by_role("textbox", name="Refresh token")).to_be_visible()
    tab.complaints.clear()  # The browser's own notes of the broken connections.


def test_only_a_refused_list_hides_the_form(tab: Tab, account: SimulatedAccount) -> None:
    page = tab.connect()
    page.route("**/tokens", lambda route: route.fulfill(status=403, json={"error": {"message": "No."}}))
    panel = choose(page, "Status")
    expect(panel).to_contain_text("Streams arrive as they are made: yes")
    # The public part of the check names the accounts all the same.
    expect(row(page, account.label)).to_be_visible()
    expect(panel.get_by_role("textbox", name="Refresh token")).to_be_hidden()


def test_the_models_of_the_last_change_stay(tab: Tab, upstream: Upstream) -> None:
    added = upstream.add_account()
    page = tab.connect()
    panel = choose(page, "Status")
    held = Held(page, "**/v1/models")
    add(page, added.token)
    expect(row(page, added.label)).to_be_visible()
    row(page, added.label).get_by_role("button", name="Remove").click()
    expect(row(page, added.label)).to_have_count(0)
    expect(panel).to_contain_text("was removed")
    earlier, last = held.first(2)
    last.fulfill(json={"data": [{"id": "last", "owned_by": "chatglm"}]})
    expect(page.locator("#model option")).to_have_text(["last"])
    with page.expect_request_finished(lambda request: request == earlier.request):
        earlier.fulfill(json={"data": [{"id": "earlier", "owned_by": "chatglm"}]})
    choose(page, "Clients")
    expect(page.locator("#model option")).to_have_text(["last"])
