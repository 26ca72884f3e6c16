"""The guarantees that hold in every dialect: statuses, endings, leaving, silences, the host's time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import httpx
import pytest

from lib.web.overload import LOAD
from simulator.app import Simulator
from simulator.scenes import sample_text
from simulator.scenes.refusals import INTERVENE_TEXT
from tests.conftest import Upstream
from tests.support.client import KEY, Client
from tests.support.dialects import DIALECTS, Dialect, Said
from tests.support.live import LiveGateway
from tests.support.waiting import wait_until
from tests.support.wire import RawClient

EVERY_DIALECT = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
BOTH_WAYS = pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
ENDLESS = "[scene:slow first=0 gap=0.02 count=9000]"


def ask(client: Client, dialect: Dialect, prompt: str = "Hello!", *, is_stream: bool) -> httpx.Response:
    return client.post(dialect.path_of(is_stream=is_stream), dialect.body(prompt, is_stream))


def read(dialect: Dialect, response: httpx.Response, *, is_stream: bool) -> Said:
    assert response.status_code == 200, response.text
    return dialect.read_stream(response.content) if is_stream else dialect.read(response.json())


def said(client: Client, dialect: Dialect, prompt: str = "Hello!", *, is_stream: bool) -> Said:
    return read(dialect, ask(client, dialect, prompt, is_stream=is_stream), is_stream=is_stream)


def asking(gateway: LiveGateway, dialect: Dialect, prompt: str, *, is_stream: bool) -> RawClient:
    raw = RawClient(gateway.url)
    raw.post(
        dialect.path_of(is_stream=is_stream), dialect.body(prompt, is_stream), authorization=f"Bearer {KEY}"
    )
    return raw


# Answers


@EVERY_DIALECT
@BOTH_WAYS
@pytest.mark.parametrize(
    ("scene", "text"),
    [
        ("text chars=700 think=90", sample_text(700)),
        ("think_beside_text", "Text beside the reasoning."),
        ("web_search", "深圳今天多云间晴天[1]，气温 26~33℃[2][3]。 See also [4] and 【turn9search9】."),
        ("utf8_split", "Grüße, 世界! 👩‍👩‍👧 ﷽ – naïve 𝒢𝓁𝓂 “ok” \u2028 end"),
        ("snapshots", "从前有一座山。Once upon a time there was a hill, and on it a temple: “1, 2, 3”."),
    ],
)
def test_an_answer_is_the_same_whole_and_streamed(
    client: Client, sim: Simulator, dialect: Dialect, scene: str, text: str, *, is_stream: bool
) -> None:
    sim.play(scene)
    answer = said(client, dialect, is_stream=is_stream)
    assert (answer.text, answer.reason, answer.code) == (text, "stop", None)
    wait_until(lambda: not sim.live_conversations(), what="the conversation is deleted")


@EVERY_DIALECT
@BOTH_WAYS
def test_a_limit_of_tokens_ends_the_answer_and_the_upstream(
    client: Client, sim: Simulator, dialect: Dialect, *, is_stream: bool
) -> None:
    body = dialect.limited(dialect.body(ENDLESS, is_stream), 7)
    answer = read(dialect, client.post(dialect.path_of(is_stream=is_stream), body), is_stream=is_stream)
    assert answer.reason == "length"
    assert answer.tokens in (None, 7)
    wait_until(lambda: not sim.live_conversations())


@EVERY_DIALECT
def test_moderation_takes_a_whole_answer_back_and_ends_a_stream(
    client: Client, sim: Simulator, dialect: Dialect
) -> None:
    sim.play("intervene", times=2)
    whole = said(client, dialect, is_stream=False)
    assert (whole.text, whole.reason) == (INTERVENE_TEXT, "content_filter")
    streamed = said(client, dialect, is_stream=True)
    assert streamed.text == f"This will be withdrawn\n\n{INTERVENE_TEXT}"
    assert streamed.reason == "content_filter"


# Errors


class Refusal(NamedTuple):
    scene: str
    status: int
    code: str
    env: dict[str, str] = {}  # noqa: RUF012 - never changed


SHORT = {"FIRST_CONTENT_TIMEOUT_S": "0.2", "IDLE_TIMEOUT_S": "0.2"}
REFUSALS = [
    Refusal("error_10040", 400, "context_length_exceeded"),
    Refusal("error_10061_busy", 429, "account_busy", {"ACCOUNT_WAIT_S": "0"}),
    Refusal("throttled_429", 429, "rate_limit_exceeded"),
    Refusal("error_10025", 502, "upstream_error"),
    Refusal("html_403", 502, "upstream_error"),
    Refusal("zero_bytes", 502, "upstream_error"),
    Refusal("empty_finish", 502, "upstream_error"),
    Refusal("unauthorized_40103", 503, "no_account_available"),
    Refusal("silence", 504, "upstream_timeout", SHORT),
]


@EVERY_DIALECT
@BOTH_WAYS
@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.scene)
def test_before_the_first_content_an_error_is_a_status(
    *,
    client: Client,
    sim: Simulator,
    environment: pytest.MonkeyPatch,
    dialect: Dialect,
    refusal: Refusal,
    is_stream: bool,
) -> None:
    # A second attempt comes after a pause of up to a second, which can outlast the patience under load.
    environment.setattr("lib.web.chat.PATIENCE_S", 10.0)
    for name, value in refusal.env.items():
        environment.setenv(name, value)
    sim.play(refusal.scene, times=3)
    response = ask(client, dialect, is_stream=is_stream)
    assert response.status_code == dialect.status(refusal.code, refusal.status)
    assert dialect.code_of(response.json()) == refusal.code
    assert ("retry-after" in response.headers) == (response.status_code == 429)


@EVERY_DIALECT
@pytest.mark.parametrize(
    ("scene", "text", "code"),
    [
        ("error_10025_late", "Half of an answer, ", "upstream_error"),
        ("early_close", "The connection closes", "upstream_error"),
        ("abort", "The connection breaks", "upstream_error"),
        ("stall", "Some text and then", "upstream_timeout"),
    ],
)
def test_after_the_first_content_an_error_is_an_event_and_never_an_ending(
    *,
    client: Client,
    sim: Simulator,
    environment: pytest.MonkeyPatch,
    dialect: Dialect,
    scene: str,
    text: str,
    code: str,
) -> None:
    if scene == "stall":
        environment.setenv("IDLE_TIMEOUT_S", "0.2")
    sim.play(scene, times=2)
    streamed = said(client, dialect, is_stream=True)
    assert (streamed.text, streamed.reason, streamed.code) == (text, None, dialect.failure or code)
    whole = ask(client, dialect, is_stream=False)
    assert whole.status_code == (504 if code == "upstream_timeout" else 502)
    assert dialect.code_of(whole.json()) == code


@EVERY_DIALECT
def test_a_refusal_at_the_door_is_told_in_the_dialect(client: Client, dialect: Dialect) -> None:
    unknown = client.post(dialect.path, dialect.body("x", False), headers={"authorization": "Bearer no"})
    assert (unknown.status_code, dialect.code_of(unknown.json())) == (401, "invalid_api_key")
    broken = client.request("POST", dialect.path, content=b"{")
    assert (broken.status_code, dialect.code_of(broken.json())) == (400, "invalid_json")
    packed = client.post(dialect.path, {}, headers={"content-encoding": "gzip"})
    assert (packed.status_code, dialect.code_of(packed.json())) == (415, "unsupported_encoding")
    method = client.request("PATCH", dialect.path)
    assert (method.status_code, dialect.code_of(method.json())) == (405, "method_not_allowed")


@EVERY_DIALECT
def test_a_body_that_is_too_large_is_told_in_the_dialect(
    client: Client, environment: pytest.MonkeyPatch, dialect: Dialect
) -> None:
    environment.setenv("MAX_BODY_BYTES", "1024")
    response = client.post(dialect.path, dialect.body("x" * 2000, False))
    assert (response.status_code, dialect.code_of(response.json())) == (413, "request_too_large")


@EVERY_DIALECT
def test_an_overload_is_told_in_the_dialect(client: Client, dialect: Dialect) -> None:
    before, LOAD.requests = LOAD.requests, 10_000
    try:
        response = ask(client, dialect, is_stream=False)
    finally:
        LOAD.requests = before
    assert response.status_code == dialect.status("overloaded", 503)
    assert dialect.code_of(response.json()) == "overloaded"
    assert response.headers["retry-after"]


# Time


@EVERY_DIALECT
def test_a_stream_begins_before_its_content_and_never_falls_silent(
    client: Client, gateway: LiveGateway, environment: pytest.MonkeyPatch, dialect: Dialect
) -> None:
    environment.setenv("HEARTBEAT_S", "0.1")
    with asking(gateway, dialect, "[scene:slow first=1 gap=0.4 count=2]", is_stream=True) as raw:
        raw.read_until(dialect.heartbeat)
        assert b"word" not in raw.received
        raw.read_until(b"\r\n0\r\n\r\n")
    first, _, rest = raw.received.partition(b"word 0")
    # A busy machine sends fewer, and never more.
    assert 3 <= first.count(dialect.heartbeat) <= 12
    assert 1 <= rest.partition(b"word 1")[0].count(dialect.heartbeat) <= 5


@EVERY_DIALECT
def test_heartbeats_change_nothing_for_a_reader(
    client: Client, environment: pytest.MonkeyPatch, dialect: Dialect
) -> None:
    environment.setenv("HEARTBEAT_S", "0.05")
    streamed = said(client, dialect, "[scene:slow first=0.3 gap=0.2 count=3]", is_stream=True)
    assert (streamed.text, streamed.reason) == ("word 0 word 1 word 2 ", "stop")


@EVERY_DIALECT
@BOTH_WAYS
def test_near_the_hosts_deadline_the_answer_ends_with_its_length(
    client: Client, environment: pytest.MonkeyPatch, dialect: Dialect, *, is_stream: bool
) -> None:
    environment.setenv("MAX_DURATION_S", "0.5")
    answer = said(client, dialect, ENDLESS, is_stream=is_stream)
    assert answer.reason == "length"
    assert answer.text.startswith("word 0 word 1 ")


STAGES: dict[str, tuple[str, Callable[[Upstream], object]]] = {
    # A short answer could be complete with its headers, and needs no stop then.
    "before the headers": ("[scene:slow first=30]", lambda upstream: upstream.count("assistant/stream")),
    "before the first content": (
        "[scene:slow first=30]",
        lambda upstream: upstream.sim.live_conversations(),
    ),
    "in mid-answer": (ENDLESS, lambda upstream: upstream.sim.live_conversations()),
}


@EVERY_DIALECT
@BOTH_WAYS
@pytest.mark.parametrize("stage", STAGES)
def test_a_client_that_leaves_frees_the_account_at_once(
    *,
    client: Client,
    gateway: LiveGateway,
    upstream: Upstream,
    dialect: Dialect,
    stage: str,
    is_stream: bool,
) -> None:
    upstream.sim.linger_s = 30.0  # without stop_stream the account would stay busy that long
    prompt, is_reached = STAGES[stage]
    if stage == "before the headers":
        upstream.sim.fail("assistant/stream", delay_s=0.5)
    raw = asking(gateway, dialect, prompt, is_stream=is_stream)
    wait_until(lambda: is_reached(upstream))
    if is_stream and stage == "in mid-answer":
        raw.read_until(b"word 1")
    left_at = time.monotonic()
    raw.leave()
    assert said(client, dialect, "[scene:text chars=9]", is_stream=False).text == sample_text(9)
    assert time.monotonic() - left_at < 2
    assert upstream.count("stop_stream") == 1
    wait_until(lambda: not upstream.sim.live_conversations())
