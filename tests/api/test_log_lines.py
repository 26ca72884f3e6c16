"""The log over a live server: one line for each request, with the fields of docs/observability.md alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SimulatedAccount, Upstream
from tests.support.client import CHAT, KEY, Client, chat_body
from tests.support.live import LiveGateway
from tests.support.log import logged
from tests.support.waiting import wait_until
from tests.support.wire import RawClient

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "observability.md"
ALWAYS = {
    *("time", "level", "message", "request_id", "method", "status", "stream", "bytes", "seconds"),
    "client_left",
}
FILE = {"type": "file", "file": {"filename": "salary.txt", "file_data": "data:text/plain,words"}}


def documented() -> dict[str, bool]:
    """Read the table: each field, and whether it is always there."""
    table = DOCUMENT.read_text(encoding="utf-8").partition("| Field |")[2].partition("\n\n")[0]
    rows = [line.split("|") for line in table.splitlines()[2:]]
    return {row[1].strip(" `"): row[2].strip() == "yes" for row in rows}


def lines_of(gateway: LiveGateway, ask: Callable[[], object]) -> list[dict[str, Any]]:
    with logged() as lines:
        ask()
        wait_until(gateway.is_idle)  # a line is written when all is done
    return lines


def line_of(gateway: LiveGateway, ask: Callable[[], object]) -> dict[str, Any]:
    [line] = [line for line in lines_of(gateway, ask) if line["message"] == "request"]
    return line


def test_the_fields_are_those_of_the_document(
    client: Client, gateway: LiveGateway, upstream: Upstream, account: SimulatedAccount
) -> None:
    def ask() -> None:
        client.chat("[scene:failed_tool]", stream=True)
        client.post(CHAT, chat_body(messages=[{"role": "user", "content": [FILE]}]))
        client.chat("[scene:error_10025]")
        upstream.sim.fail("assistant/stream", status=500, times=2)
        client.chat()
        client.get("/nothing")

    requests = [line for line in lines_of(gateway, ask) if line["message"] == "request"]
    assert len(requests) == 5
    assert set().union(*requests) == set(documented())
    assert {field for field, is_always in documented().items() if is_always} == ALWAYS
    for line in requests:
        assert set(line) >= ALWAYS
        assert ("route" in line) != ("path" in line)


def test_an_answer_is_told_in_numbers(
    client: Client, gateway: LiveGateway, account: SimulatedAccount
) -> None:
    line = line_of(gateway, lambda: client.chat("[scene:several_text_parts]", stream=True))
    assert line["message"] == "request"
    assert (line["level"], line["status"], line["stream"], line["client_left"]) == ("INFO", 200, True, False)
    assert (line["account"], line["model"], line["attempts"], line["finish"]) == (
        account.label,
        "moe_53f",
        1,
        "stop",
    )
    assert line["events"] > 3
    assert line["bytes"] > 500
    assert 0 <= line["token_ms"] <= line["first_ms"] <= line["seconds"] * 1000 + 1
    assert "code" not in line


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_failure_is_a_warning_with_both_codes(
    client: Client, gateway: LiveGateway, *, is_stream: bool
) -> None:
    line = line_of(gateway, lambda: client.chat("[scene:error_10025]", stream=is_stream))
    assert (line["level"], line["status"], line["code"]) == ("WARNING", 502, "upstream_error")
    assert (line["upstream_code"], line["attempts"]) == (10025, 2)
    assert "finish" not in line


def test_a_failure_after_the_200_of_a_stream_is_told_all_the_same(
    client: Client, gateway: LiveGateway
) -> None:
    line = line_of(gateway, lambda: client.chat("[scene:error_10025_late]", stream=True))
    assert (line["level"], line["status"], line["code"]) == ("WARNING", 200, "upstream_error")
    assert (line["upstream_code"], line["attempts"], line["stream"]) == (10025, 1, True)


def test_a_refusal_after_a_stream_has_begun_without_content_is_told(
    client: Client, gateway: LiveGateway, upstream: Upstream, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("HEARTBEAT_S", "0.05")
    line = line_of(gateway, lambda: client.chat("[scene:silence s=0.3]", stream=True))
    assert (line["status"], line["code"], line["stream"]) == (200, "upstream_error", True)


def test_what_the_caller_did_wrong_is_no_warning(client: Client, gateway: LiveGateway) -> None:
    line = line_of(gateway, lambda: client.request("POST", CHAT, content=b"{"))
    assert (line["level"], line["status"], line["code"]) == ("INFO", 400, "invalid_json")
    line = line_of(gateway, lambda: client.get("/v1/models", headers={"authorization": "Bearer no"}))
    assert (line["level"], line["status"], line["code"]) == ("INFO", 401, "invalid_api_key")


def test_a_number_that_a_retry_got_over_is_told(
    client: Client, gateway: LiveGateway, upstream: Upstream
) -> None:
    upstream.sim.play("error_10025")
    line = line_of(gateway, client.chat)
    assert (line["level"], line["status"], line["attempts"]) == ("INFO", 200, 2)
    assert (line["upstream_code"], line["finish"]) == (10025, "stop")
    assert "code" not in line


@pytest.mark.parametrize(
    ("scene", "notices"), [("failed_tool", {"tool_failed": 2}), ("rewritten", {"rewritten": 1})]
)
def test_notices_are_counted_by_their_kind(
    client: Client, gateway: LiveGateway, scene: str, notices: dict[str, int]
) -> None:
    assert line_of(gateway, lambda: client.chat(f"[scene:{scene}]"))["notices"] == notices


def test_a_client_that_leaves_is_told(client: Client, gateway: LiveGateway) -> None:
    def ask() -> None:
        raw = RawClient(gateway.url)
        body = chat_body("[scene:slow gap=0.05 count=500]", stream=True)
        raw.post(CHAT, body, authorization=f"Bearer {KEY}")
        raw.read_until(b"word 3")
        raw.leave()

    line = line_of(gateway, ask)
    assert (line["client_left"], line["status"], line["level"]) == (True, 200, "INFO")
    assert "finish" not in line
    assert line["events"] >= 4


def test_warnings_carry_the_id_of_their_request(
    client: Client, gateway: LiveGateway, upstream: Upstream
) -> None:
    upstream.sim.fail("bulk_delete", status=500, times=2)
    upstream.sim.fail("conversation/delete", status=500, times=2)
    lines = lines_of(gateway, lambda: client.post(CHAT, chat_body(), headers={"x-request-id": "req-1"}))
    assert {line["message"] for line in lines} == {"request", "conversation not deleted"}
    assert {line["request_id"] for line in lines} == {"req-1"}


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v1/models/glm-4-of-mine", "/v1/models/{name}"),
        ("/api/v1/models/x", "/v1/models/{name}"),
        ("/v1/videos/vid_secret/content?variant=thumbnail", "/v1/videos/{video_id}/content"),
        ("/v1/videos/generations/secret", "/v1/videos/generations/{video_id}"),
        ("/api", "/"),
        ("/", "/"),
        ("/robots.txt?key=secret", "/robots.txt"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_route_is_named_by_its_pattern(
    client: Client, gateway: LiveGateway, path: str, route: str, method: str
) -> None:
    line = line_of(gateway, lambda: client.request(method, path))
    assert line["route"] == route
    assert "path" not in line
    assert "secret" not in json.dumps(line)


def test_a_preflight_is_told_by_its_route_too(client: Client, gateway: LiveGateway) -> None:
    asked = {"origin": "https://app.example", "access-control-request-method": "GET"}
    line = line_of(gateway, lambda: client.request("OPTIONS", "/v1/models/x", headers=asked))
    assert (line["route"], line["status"]) == ("/v1/models/{name}", 200)


def test_a_path_that_nobody_has_is_told_short_and_on_one_line(
    client: Client, gateway: LiveGateway, capfd: pytest.CaptureFixture[str]
) -> None:
    hostile = "/nothing%0a%7b%22level%22:1%7d%E2%80%A8" + "x" * 500 + "?token=secret"
    line = line_of(gateway, lambda: client.get(hostile))
    assert line["path"].startswith('/nothing\n{"level":1}\u2028xxx')
    assert len(line["path"]) == 80
    assert "secret" not in json.dumps(line)


# Server-Timing


def timings(header: str) -> dict[str, float]:
    found = re.findall(r"(\w+);dur=(\d+\.\d)(?:, |$)", header)
    assert ", ".join(f"{name};dur={value}" for name, value in found) == header
    return {name: float(value) for name, value in found}


def test_an_answer_in_one_piece_tells_its_total(client: Client) -> None:
    told = timings(client.chat("[scene:slow first=0.1 count=2 gap=0]").headers["server-timing"])
    assert set(told) == {"wait", "token", "first", "total"}
    assert 100 <= told["first"] <= told["total"]


def test_a_stream_tells_no_total(client: Client) -> None:
    assert set(timings(client.stream().headers["server-timing"])) == {"wait", "token", "first"}


def test_a_stream_tells_what_it_knows_when_it_begins(client: Client, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HEARTBEAT_S", "0.05")
    late = client.stream("[scene:slow first=0.4 count=2 gap=0]").headers["server-timing"]
    assert set(timings(late)) == {"wait"}


def test_an_error_tells_where_its_time_went(client: Client) -> None:
    response = client.chat("[scene:error_10025]")
    assert response.status_code == 502
    assert set(timings(response.headers["server-timing"])) == {"wait", "token", "first", "total"}


def test_what_needed_no_account_tells_no_times(client: Client) -> None:
    for response in (client.get("/ping"), client.get("/health"), client.request("POST", CHAT, content=b"{")):
        assert "server-timing" not in response.headers


def test_pictures_tell_their_times(client: Client, account: SimulatedAccount, gateway: LiveGateway) -> None:
    def ask() -> None:
        answer = client.post("/v1/images/generations", {"prompt": "[scene:images] a cat", "n": 2})
        told = timings(answer.headers["server-timing"])
        assert set(told) == {"wait", "token", "first", "total"}

    line = line_of(gateway, ask)
    assert (line["account"], line["finish"], line["status"]) == (account.label, "stop", 200)
    assert line["events"] >= 4


def test_a_video_tells_its_total(client: Client, account: SimulatedAccount, gateway: LiveGateway) -> None:
    answer = client.post("/v1/videos/generations", {"model": "m", "prompt": "[scene:video]", "wait": 0})
    assert set(timings(answer.headers["server-timing"])) == {"total"}
    wait_until(gateway.is_idle)
    line = line_of(gateway, lambda: client.get(f"/v1/videos/{answer.json()['id']}"))
    assert line["account"] == account.label


def test_a_misspelt_suffix_is_served_and_said(
    client: Client, gateway: LiveGateway, upstream: Upstream
) -> None:
    with logged() as lines:
        response = client.chat(model="glm-5.3-serach")
        assert response.status_code == 200
        assert response.headers["x-glm-notice"] == "'serach' was read as 'search'"
        assert "x-glm-notice" not in client.chat(model="glm-5.3-search").headers
        assert client.stream(model="glm-5.3-serach").headers["x-glm-notice"]
        wait_until(gateway.is_idle)
    assert [line.get("notices", {}).get("misspelt_suffix") for line in lines] == [1, None, 1]
    assert upstream.chats()[0] == upstream.chats()[1] | {
        "conversation_id": upstream.chats()[0]["conversation_id"]
    }


def test_monitors_leave_no_lines_unless_they_fail(client: Client, gateway: LiveGateway) -> None:
    with logged() as lines:
        for path in ("/ping", "/health", "/api/ping"):
            assert client.get(path).status_code == 200
        assert client.request("POST", "/ping").status_code == 405
        assert client.get("/health?deep=1", headers={"authorization": "Bearer wrong"}).status_code == 401
        wait_until(gateway.is_idle)
    assert [(line["route"], line["status"]) for line in lines] == [("/ping", 405), ("/health", 401)]
