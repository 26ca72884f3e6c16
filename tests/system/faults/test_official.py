"""The calls to the official API, and all that may go wrong with them: each is told, and nothing stays."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import httpx
import pytest

from lib import settings
from simulator.official.app import Official
from simulator.official.server import OfficialServer
from simulator.scenes import sample_text
from tests.support.client import CHAT, KEY, Client, Streamed
from tests.support.live import LiveGateway
from tests.support.log import logged
from tests.support.waiting import wait_until
from tests.system.faults import staging
from tests.system.faults.proxy import Answer, Exchange, FaultProxy
from tests.system.faults.staging import CHUNKED, EVENTS, JSON, head, saying, whole

PATH = "chat/completions$"
TEXT = sample_text(40)
WORDS = "".join(f"word{number} " for number in range(40))
SPOKEN = b"word3"
TINY_EVENTS = 20_000
TIMEOUT_S, HEAVY_TIMEOUT_S = "1.5", "20"
EASE_S = 10.0


def refused(status: int, code: str) -> bytes:
    return whole(status, JSON, error(code))


def error(code: str) -> bytes:
    return json.dumps({"error": {"code": code, "message": "No."}}).encode()


def event(data: bytes) -> bytes:
    return b"data: %b\n\n" % data


def tiny() -> bytes:
    """Make a stream of events of one character."""
    one = event(b'{"id":"t","choices":[{"index":0,"delta":{"content":"x"}}]}')
    last = event(b'{"id":"t","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}')
    return one * TINY_EVENTS + last + event(b"[DONE]")


LONG = b'{"id":"t","choices":[{"index":0,"delta":{"content":"' + b"x" * staging.LINE_BYTES + b'"}}]}'
CUT = b'data: {"id":"t","choices":[{"ind'
ODD = event(b'{"parts": 7, "status": ["finish"]}') + event(b'[1, "2"]')

CHAT_ANSWERS: dict[str, Answer] = {
    "reset": staging.reset,
    "reset_later": staging.after(head(200, EVENTS, CHUNKED), staging.reset),
    "hang": staging.hang,
    "drip": staging.after(head(200, EVENTS, CHUNKED) + b"5\r\ndata:\r\n", staging.drip),
    "html_403": staging.REFUSALS["html_403"],
    "busy": saying(refused(429, "1302")),
    "overloaded": saying(refused(429, "1305")),
    "http_500": saying(refused(500, "500")),
    "cut_json": saying(whole(200, EVENTS, CUT)),
    "wrong_type": staging.wrong_type,
    "wrong_shape": saying(whole(200, EVENTS, ODD)),
    "gzip": saying(whole(200, EVENTS, staging.GARBAGE, "content-encoding: gzip")),
    "long_line": saying(whole(200, EVENTS, event(LONG))),
    "tiny": saying(whole(200, EVENTS, tiny())),
}


def begun(data: bytes) -> Answer:
    """Let the answer begin; then say this, and end."""

    async def answer(exchange: Exchange) -> None:
        async with exchange.passed_on() as upstream:
            await exchange.relay_until(upstream, SPOKEN)
        await exchange.send_chunk(data)
        await exchange.end_chunks()

    return answer


def begun_then(then: Answer) -> Answer:
    async def answer(exchange: Exchange) -> None:
        async with exchange.passed_on() as upstream:
            await exchange.relay_until(upstream, SPOKEN)
            await then(exchange)

    return answer


BEGUN_ANSWERS: dict[str, Answer] = {
    "refused": begun_then(staging.end),
    "reset": begun_then(staging.reset),
    "reset_later": begun_then(staging.cut_chunk),
    "hang": begun_then(staging.hang),
    "drip": begun_then(staging.drip),
    "html_403": begun(event(staging.PAGE)),
    "busy": begun(event(error("1302"))),
    "overloaded": begun(event(error("1305"))),
    "http_500": begun(event(error("500"))),
    "cut_json": begun(CUT),
    "wrong_type": staging.wrong_type,
    "wrong_shape": begun(ODD),
    "gzip": begun(event(staging.GARBAGE.replace(b"\n", b"").replace(b"\r", b""))),
    "long_line": begun(event(LONG)),
    "tiny": staging.forward,
}
MODELS_ANSWERS: dict[str, Answer] = CHAT_ANSWERS | {
    "cut_json": saying(whole(200, JSON, b'{"object":"list","da')),
    "wrong_shape": saying(whole(200, JSON, staging.ODD_RESULT)),
    "tiny": staging.byte_by_byte,
}
FAULTS = ("refused", *CHAT_ANSWERS)
HARMLESS = frozenset(("wrong_type", "tiny"))
SILENCES = frozenset(("hang", "drip"))
TRIES = {"refused": 0, "busy": 3, "overloaded": 2, "http_500": 2}
"""So often the API hears of a chat that has not begun. Everything else is tried once."""


class Told(NamedTuple):
    status: int
    code: str = ""
    is_cut: bool = False
    is_right: bool = True


@dataclass
class World:
    official: Official
    proxy: FaultProxy
    live: LiveGateway
    client: Client

    def post(self, prompt: str, **fields: Any) -> httpx.Response:
        asked = {"model": "glm-4.5", "messages": [{"role": "user", "content": prompt}], **fields}
        return self.client.post(CHAT, asked)


@pytest.fixture(scope="module")
def standing() -> Iterator[tuple[OfficialServer, FaultProxy, LiveGateway]]:
    with OfficialServer() as server:
        proxy = FaultProxy(server.base_url, is_idle=lambda: server.official.active() == 0)
        with proxy, LiveGateway() as live:
            yield server, proxy, live


@pytest.fixture
def world(
    standing: tuple[OfficialServer, FaultProxy, LiveGateway], monkeypatch: pytest.MonkeyPatch, fault: str
) -> Iterator[World]:
    server, proxy, live = standing
    server.official.reset(keys=True)
    for name in settings._NAMES:
        monkeypatch.delenv(name, raising=False)
    timeout_s = HEAVY_TIMEOUT_S if fault in staging.HEAVY else TIMEOUT_S
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("GLM_API_BASE_URL", proxy.base_url)
    monkeypatch.setenv("GLM_API_KEYS", server.official.add_key())
    monkeypatch.setenv("API_KEYS", KEY)
    for name in ("CONNECT_TIMEOUT_S", "FIRST_CONTENT_TIMEOUT_S", "IDLE_TIMEOUT_S"):
        monkeypatch.setenv(name, timeout_s)
    with httpx.Client(timeout=60.0, trust_env=False) as http:
        yield World(server.official, proxy, live, Client(http, live.url))


def told_by(response: httpx.Response, *, is_right: bool) -> Told:
    if response.status_code < 400:
        return Told(response.status_code, is_right=is_right)
    return Told(response.status_code, response.json()["error"]["code"])


def chat(world: World, fault: str) -> Told:
    response = world.post("[scene:text chars=40]")
    expected = "x" * TINY_EVENTS if fault == "tiny" else TEXT
    said = response.json()["choices"][0]["message"]["content"] if response.status_code == 200 else ""
    return told_by(response, is_right=said == expected)


def begun_chat(world: World, _fault: str) -> Told:
    response = world.post("[scene:slow first=0 gap=0.005 count=40]", stream=True)
    streamed = Streamed(response.status_code, response.headers, response.content)
    if streamed.error is None:
        return Told(200, is_right=streamed.text == WORDS and streamed.finish_reason == "stop")
    is_honest = (streamed.finish_reason, streamed.is_done) == (None, False)
    is_honest = is_honest and streamed.text.startswith("word0 ") and WORDS.startswith(streamed.text)
    return Told(200, streamed.error["code"], is_cut=True, is_right=is_honest)


def models(world: World, _fault: str) -> Told:
    response = world.client.get("/v1/models")
    names = {model["id"] for model in response.json()["data"]}
    return told_by(response, is_right={"glm-4.6", "glm-4.5-flash"} <= names)


class Kind(NamedTuple):
    path: str
    answers: dict[str, Answer]
    ask: Callable[[World, str], Told]


KINDS = {
    "chat": Kind(PATH, CHAT_ANSWERS, chat),
    "chat_begun": Kind(PATH, BEGUN_ANSWERS, begun_chat),
    "models": Kind("models$", MODELS_ANSWERS, models),
}


def expected(call: str, fault: str) -> Told:
    if call == "models" or fault in HARMLESS:
        return Told(200)
    code = "upstream_timeout" if fault in SILENCES else "upstream_error"
    if fault in ("busy", "overloaded"):
        code = "rate_limit_exceeded"
    if call == "chat_begun":
        return Told(200, code, is_cut=True)
    return Told({"upstream_error": 502, "upstream_timeout": 504}.get(code, 429), code)


def expected_tries(call: str, fault: str) -> int:
    if call == "chat":
        return TRIES.get(fault, 1)
    return 0 if (call, fault) == ("models", "refused") else 1


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", KINDS)
def test_a_fault_is_told_as_documented_and_leaves_nothing_behind(world: World, call: str, fault: str) -> None:
    kind, proxy = KINDS[call], world.proxy
    before = proxy.count(kind.path)
    if fault in kind.answers:
        proxy.stage(kind.path, kind.answers[fault], times=1000)
    else:
        proxy.refuse()
    try:
        with logged() as lines:
            told = kind.ask(world, fault)
    finally:
        proxy.lift()
    assert told == expected(call, fault)
    assert proxy.count(kind.path) - before == expected_tries(call, fault)
    wait_until(lambda: world.live.is_idle() and world.official.active() == 0, EASE_S, "all is let go of")
    assert world.live.complaints == proxy.complaints == []
    assert world.official.violations == []
    assert all(
        line["level"] == "INFO" or line["message"] in ("request", "models not fetched") for line in lines
    )
    assert chat(world, "") == Told(200), "the next request is served"
