"""Signature, headers, bearer: each missing or wrong thing is refused with its own error, and noted."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from simulator.app import Simulator
from simulator.chatglm.auth import SIGN_SECRET, Nonces, check_signature, has_check_digit, sign
from tests.simulator.browser import INFO, REFRESH, STREAM, Browser, make_body, make_timestamp
from tests.simulator.browser import sign as sign_as_web

REAL = {
    "x-timestamp": "1790732179905",
    "x-nonce": "75988225830f4d93b6702dcd0a2e9baf",
    "x-sign": "a32ee7a2876ad44e6658475f0a7c69eb",
}


def test_the_real_signature_is_accepted_once() -> None:
    nonces = Nonces()
    assert check_signature(REAL, now_ms=1790732179905, nonces=nonces) is None
    again = check_signature(REAL, now_ms=1790732179906, nonces=nonces)
    assert again is not None
    assert (again.status, again.violation) == (40014, "nonce reused")


def test_the_real_timestamp_has_its_check_digit_and_its_neighbours_do_not() -> None:
    assert has_check_digit("1790732179905")
    assert not has_check_digit("1790732179915")
    assert not has_check_digit("1790732179906")


def _signed(timestamp: str) -> dict[str, str]:
    nonce = "0" * 32
    return {"x-timestamp": timestamp, "x-nonce": nonce, "x-sign": sign(timestamp, nonce, SIGN_SECRET)}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 40001),
        (REAL | {"x-sign": ""}, 40011),
        (REAL | {"x-sign": "0" * 32}, 40014),
        (REAL | {"x-nonce": REAL["x-nonce"].upper()}, 40014),
        (_signed("1790732179915"), 40014),
        (_signed("17907321799"), 40014),
        (_signed("nonsense"), 40014),
        (_signed(make_timestamp(1790732179 - 301)), 40014),
        (_signed(make_timestamp(1790732179 + 301)), 40014),
    ],
)
def test_a_wrong_signature_is_refused(headers: dict[str, str], status: int) -> None:
    refusal = check_signature(headers, now_ms=1790732179905, nonces=Nonces())
    assert refusal is not None
    assert (refusal.http_status, refusal.status) == (400, status)
    assert refusal.violation


def test_a_signature_of_four_minutes_ago_is_accepted() -> None:
    headers = _signed(make_timestamp(1790732179 - 240))
    assert check_signature(headers, now_ms=1790732179905, nonces=Nonces()) is None


def test_old_nonces_are_forgotten() -> None:
    nonces = Nonces()
    for minute in range(100):
        assert nonces.take(f"{minute}", minute * 60_000)
    assert len(nonces._seen) < 15


@pytest.mark.parametrize(
    ("changes", "status", "violation"),
    [
        ({"user_agent": None}, 40002, "User-Agent missing"),
        ({"x_app_platform": None}, 40001, "headers missing: x-app-platform"),
        ({"x_app_version": None}, 40001, "headers missing: x-app-version"),
        ({"x_device_id": None}, 40001, "headers missing: x-device-id"),
        ({"x_request_id": None}, 40001, "headers missing: x-request-id"),
        ({"app_name": None}, 40001, "headers missing: app-name"),
        ({"x_timestamp": None, "x_nonce": None, "x_sign": None}, 40001, "unsigned"),
        ({"x_nonce": None}, 40011, "signature headers missing: x-nonce"),
        ({"x_sign": "0" * 32}, 40014, "X-Sign is wrong"),
        ({"authorization": None}, 40103, "no bearer"),
    ],
)
def test_a_call_without_what_it_needs_is_refused_and_noted(
    sim: Simulator, browser: Browser, changes: dict[str, str | None], status: int, violation: str
) -> None:
    response = browser.post(STREAM, make_body("hi"), **changes)
    http_status = 401 if status == 40103 else 400
    assert (response.status_code, response.json()["status"]) == (http_status, status)
    assert sim.violations == [f"assistant/stream: {violation}"]
    assert not sim.conversations


@pytest.mark.parametrize(
    ("changes", "violation"),
    [
        ({"accept": "application/json"}, "Accept has no text/event-stream"),
        ({"user_agent": "python-httpx/0.28"}, "User-Agent is not a browser's"),
        ({"x_device_id": "0" * 32}, "X-Device-Id is not the device_id"),
        ({"x_lang": None}, "headers missing: x-lang"),
        ({"referer": "https://chatglm.cn/main/gdetail/1"}, "Referer is"),
        ({"x_request_id": "request-1"}, "x-request-id is not 32 hex digits"),
        ({"content_type": "text/plain"}, "Content-Type is"),
    ],
)
def test_what_no_browser_sends_is_served_and_noted(
    sim: Simulator, browser: Browser, changes: dict[str, str | None], violation: str
) -> None:
    assert browser.post(STREAM, make_body("hi"), **changes).status_code == 200
    assert len(sim.violations) == 1
    assert violation in sim.violations[0]


def test_a_correct_call_is_answered_with_its_request_id_and_recorded(
    sim: Simulator, browser: Browser
) -> None:
    response = browser.get(INFO)
    call = sim.calls[-1]
    assert response.json()["rid"] == call.headers["x-request-id"]
    assert (call.method, call.path, call.uid) == ("GET", INFO[1:], browser.uid)
    assert sim.violations == []


def test_a_whole_request_sent_twice_is_refused_the_second_time(
    sim: Simulator, http: httpx.Client, browser: Browser
) -> None:
    headers = browser.headers(INFO, browser.access_token)
    assert http.get(INFO, headers=headers).status_code == 200
    again = http.get(INFO, headers=headers)
    assert (again.status_code, again.json()["status"]) == (400, 40014)
    assert sim.violations == ["user/info: nonce reused"]


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", "é", ".."])
def test_a_token_of_our_own_making_is_unauthorized(browser: Browser, token: str) -> None:
    headers: dict[str, Any] = browser.headers(INFO, "")
    headers["Authorization"] = f"Bearer {token}".encode()
    response = browser.http.get(INFO, headers=headers)
    assert (response.status_code, response.json()["status"]) == (401, 40102)


def test_the_two_kinds_of_token_are_not_taken_for_each_other(sim: Simulator, browser: Browser) -> None:
    access_token = browser.access_token
    assert browser.refresh(access_token).json()["status"] == 40102
    assert browser.http.get(INFO, headers=browser.headers(INFO, browser.refresh_token)).status_code == 401
    assert sim.violations == [
        "user/refresh: access token used as refresh token",
        "user/info: refresh token used as access token",
    ]


def test_the_clock_can_be_asked_without_a_token(browser: Browser) -> None:
    path = "/operation-api/config/cur_ts"
    headers = browser.headers(path, "")
    del headers["Authorization"]
    result = browser.http.get(path, headers=headers).json()["result"]
    assert abs(result["cur_ts"] / 1000 - time.time()) < 60


def test_only_the_clock_can_be_asked_by_whose_own_is_wrong(sim: Simulator, browser: Browser) -> None:
    path, token, clock = "/operation-api/config/cur_ts", browser.access_token, sim.now
    sim.now = lambda: clock() + 600
    try:
        assert browser.http.get(path, headers=browser.headers(path, token)).status_code == 200
        forged = browser.headers(path, token) | {"X-Sign": "0" * 32}
        assert browser.http.get(path, headers=forged).json()["status"] == 40014
        assert browser.http.get(INFO, headers=browser.headers(INFO, token)).json()["status"] == 40014
    finally:
        sim.now = clock


def test_unknown_paths_and_methods_are_noted(sim: Simulator, browser: Browser) -> None:
    assert browser.get("/no-api/such").status_code == 404
    assert browser.get(REFRESH).status_code == 405
    assert [note.partition(":")[0] for note in sim.violations] == ["unknown path", "user/refresh"]
    assert sign_as_web("1", "2") == sign("1", "2")
