"""Tokens, rotation, guests, blocked accounts."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from simulator.app import Simulator
from tests.simulator.browser import INFO, Browser


def claims_of(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def open_window(sim: Simulator, http: httpx.Client, **options: Any) -> Browser:
    return Browser(sim, http, sim.add_account(**options))


def test_tokens_have_the_claims_and_lifetimes_of_the_real_ones(browser: Browser) -> None:
    refresh, access = claims_of(browser.refresh_token), claims_of(browser.access_token)
    assert set(refresh) == {"sub", "uid", "device_id", "jti", "iat", "nbf", "exp", "type"}
    assert (refresh["type"], access["type"]) == ("refresh", "access")
    assert refresh["exp"] - refresh["iat"] == 180 * 86400
    assert access["exp"] - access["iat"] == 86400
    assert access["sub"] == "demo"
    assert (access["uid"], access["device_id"]) == (browser.uid, browser.account.device_id)


def test_every_account_is_its_own(sim: Simulator) -> None:
    accounts = [sim.account(sim.add_account(nickname="same")) for _ in range(5)]
    assert len({account.uid for account in accounts}) == 5
    assert len({account.device_id for account in accounts}) == 5
    with pytest.raises(ValueError, match="new uid"):
        sim.add_account(uid=accounts[0].uid)
    with pytest.raises(KeyError):
        sim.account("nobody")


def test_a_rotated_token_is_refused(sim: Simulator, http: httpx.Client) -> None:
    browser = open_window(sim, http)
    first = browser.refresh_token
    browser.refresh()
    refused = browser.refresh(first)
    assert (refused.status_code, refused.json()["status"]) == (401, 40102)
    assert sim.violations == [f"user/refresh: rotated refresh token of account {browser.uid} used again"]
    assert browser.refresh().status_code == 200
    assert sim.account(first) is browser.account
    assert browser.account.refresh_count == 2


def test_a_lax_account_takes_its_old_tokens(sim: Simulator, http: httpx.Client) -> None:
    browser = open_window(sim, http, strict_rotation=False)
    first = browser.refresh_token
    browser.refresh()
    assert browser.refresh(first).status_code == 200
    assert browser.refresh_token != first
    assert sim.violations == []


def test_a_revoked_token_is_refused_until_a_new_login(sim: Simulator, browser: Browser) -> None:
    sim.revoke(browser.uid)
    assert browser.refresh().json()["status"] == 40102
    assert browser.get(INFO).status_code == 200
    assert browser.refresh(sim.log_in(browser.uid)).status_code == 200
    assert sim.violations == []


def test_expired_access_tokens_are_refused_until_a_refresh(sim: Simulator, browser: Browser) -> None:
    sim.expire_access_tokens(browser.uid)
    refused = browser.get(INFO)
    assert (refused.status_code, refused.json()["status"]) == (401, 40102)
    browser.refresh()
    assert browser.get(INFO).status_code == 200


def test_a_token_past_its_time_is_refused(http: httpx.Client, sim: Simulator) -> None:
    clock = sim.now
    sim.now = lambda: clock() - 180 * 86400 - 60
    browser = open_window(sim, http)
    sim.now = clock
    assert browser.refresh().json()["status"] == 40102


def test_a_guest_is_told_so(sim: Simulator, http: httpx.Client) -> None:
    browser = open_window(sim, http, guest=True)
    assert browser.refresh().json()["result"]["is_guest"] is True
    assert browser.get(INFO).json()["result"]["is_guest"] is True


def test_a_blocked_account_can_log_in_but_not_chat(sim: Simulator, browser: Browser) -> None:
    sim.block(browser.uid)
    assert browser.get(INFO).json()["result"]["block_info"]["blocked"] is True
    assert browser.chat("hi").status_code == 403
    sim.block(browser.uid, blocked=False)
    assert browser.chat("hi").status_code == 200
