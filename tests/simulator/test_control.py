"""The control endpoints, and the simulator as a program."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from simulator.app import Simulator
from simulator.server import SimulatorServer, listen
from tests.simulator.browser import Browser
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def control(server: SimulatorServer, sim: Simulator) -> httpx.Client:
    return httpx.Client(base_url=server.base_url.removesuffix("/chatglm") + "/__simulator__", verify=False)


def test_everything_can_be_done_over_http(sim: Simulator, http: httpx.Client, control: httpx.Client) -> None:
    with control:
        made = control.post("/accounts", json={"nickname": "remote"}).json()
        browser = Browser(sim, http, made["refresh_token"])
        browser.refresh()
        assert control.post("/play", json={"scene": "throttled_429", "uid": made["uid"]}).status_code == 200
        assert browser.chat("hi").json()["message"] == "请求过于频繁，请稍后再试"
        steps = [
            {"status": "init", "parts": []},
            {"pause_s": 0.001},
            "data: x\n\n",
            {"status": "finish", "parts": []},
        ]
        control.post("/play", json={"scene": steps})
        assert [event["status"] for event in browser.events("hi")] == ["init", "finish"]
        control.post("/fail", json={"path_suffix": "user/info", "status": 503, "body": {"status": 1}})
        assert browser.get("/user-api/user/info").status_code == 503
        state = control.get("/state").json()
        assert state["accounts"][0]["nickname"] == "remote"
        assert len(state["live_conversations"]) == 1
        assert state["violations"] == []
        control.post(f"/accounts/{made['uid']}/revoke")
        assert browser.refresh().status_code == 401
        assert control.post("/accounts/nobody/revoke").status_code == 404
        control.post("/reset")
        assert control.get("/state").json()["calls"] == 0


def test_a_call_can_be_carried_out_and_its_answer_withheld(
    sim: Simulator, http: httpx.Client, control: httpx.Client
) -> None:
    with control, ThreadPoolExecutor(1) as aside:
        made = control.post("/accounts", json={}).json()
        browser = Browser(sim, http, made["refresh_token"])
        control.post("/fail", json={"path_suffix": "user/refresh", "late_s": 0.5, "uid": made["uid"]})
        refreshing = aside.submit(browser.refresh)
        wait_until(lambda: control.get("/state").json()["held_back"], what="the answer is withheld")
        state = control.get("/state").json()
        [held_back] = state["held_back"]
        assert (held_back["path"], held_back["uid"]) == ("user-api/user/refresh", made["uid"])
        assert held_back["user_agent"].startswith("Mozilla/")
        assert state["accounts"][0]["refresh_count"] == 1
        assert not refreshing.done()
        assert refreshing.result().status_code == 200
        assert control.get("/state").json()["held_back"] == []


def test_what_was_held_back_over_a_reset_is_not_carried_out(sim: Simulator, http: httpx.Client) -> None:
    token = sim.add_account()
    browser = Browser(sim, http, token)
    sim.fail("user/refresh", delay_s=0.2)
    with ThreadPoolExecutor(1) as aside:
        refreshing = aside.submit(browser.refresh)
        wait_until(lambda: sim.held_back, what="the call is held back")
        sim.reset()
        with pytest.raises(httpx.TransportError):
            refreshing.result()
    assert sim.account(token).refresh_count == 0


def test_it_is_told_whether_a_rotation_has_been_heard_of(
    sim: Simulator, http: httpx.Client, control: httpx.Client
) -> None:
    with control:

        def is_used() -> object:
            return control.get("/state").json()["accounts"][0]["rotation_is_used"]

        made = control.post("/accounts", json={}).json()
        assert is_used()
        browser = Browser(sim, http, made["refresh_token"])
        browser.refresh()
        assert not is_used()
        control.post(f"/accounts/{made['uid']}/expire_access_tokens")
        assert browser.get("/user-api/user/info").status_code == 401
        assert is_used()


def test_it_tells_every_prompt_that_was_answered(
    sim: Simulator, browser: Browser, control: httpx.Client
) -> None:
    with control:
        for prompt in ("once", "twice", "twice"):
            browser.chat(prompt)
        assert control.get("/prompts").json() == {"prompts": ["once", "twice", "twice"]}


def test_a_login_over_http_gives_a_new_refresh_token(
    sim: Simulator, http: httpx.Client, control: httpx.Client
) -> None:
    with control:
        made = control.post("/accounts", json={}).json()
        token = control.post(f"/accounts/{made['uid']}/log_in").json()["refresh_token"]
        assert token != made["refresh_token"]
        assert Browser(sim, http, token).refresh().status_code == 200
        assert control.post("/accounts/nobody/log_in").status_code == 404


def test_mistakes_are_told(control: httpx.Client) -> None:
    with control:
        assert "no_such" in control.post("/play", json={"scene": "no_such"}).json()["error"]
        assert control.post("/play", json={"scene": "echo", "tims": 2}).status_code == 400
        assert control.post("/fail", json={}).status_code == 400
        assert control.post("/accounts", json={"uid": 1, "colour": "red"}).status_code == 400


def test_a_server_stops_although_a_stream_is_open() -> None:
    with SimulatorServer() as server, httpx.Client(base_url=server.base_url) as http:
        browser = Browser(server.simulator, http, server.simulator.add_account())
        browser.refresh()
        with browser.open_chat("[scene:silence]") as response:
            lines = response.iter_lines()
            next(lines)
            started_at = time.monotonic()
            server.stop()
            assert time.monotonic() - started_at < 3


def test_the_program_prints_where_it_listens() -> None:
    command = [sys.executable, "-m", "simulator", "--port", "0", "--pace", "0", "--lax"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert told["url"].endswith("/chatglm")
        state = httpx.get(told["url"].removesuffix("/chatglm") + "/__simulator__/state").json()
        assert state["accounts"][0]["refresh_token"] == told["refresh_token"]
    finally:
        process.terminate()
        process.communicate(timeout=5)


def test_calls_and_conversations_are_bounded() -> None:
    sim = Simulator(max_calls=20)
    for _ in range(100):
        sim.record(None)  # type: ignore[arg-type]
    assert len(sim.calls) <= 20


def test_the_socket_names_its_protocol_or_every_answer_would_take_40_ms() -> None:
    # asyncio sets TCP_NODELAY only on sockets that do; seen 2026-11: 44 ms for an answer, 4 ms with it.
    with listen() as listener:
        assert listener.proto == socket.IPPROTO_TCP
