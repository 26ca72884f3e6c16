"""The official API's calls beside chats, and what may go wrong with them: each is told, and nothing stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import httpx
import pytest

from lib import settings
from simulator.official.app import Official
from simulator.official.audio import make_sound, wav_of
from simulator.official.server import OfficialServer
from simulator.official.vectors import make_vector
from tests.support.client import KEY, Client, Streamed
from tests.support.live import LiveGateway
from tests.support.waiting import wait_until
from tests.system.faults import staging
from tests.system.faults.proxy import Answer, FaultProxy
from tests.system.faults.staging import JSON, saying, whole

TIMEOUT_S, HEAVY_TIMEOUT_S = "1.5", "20"
EASE_S = 10.0
WAV = wav_of(make_sound("A recording."))


def refused(status: int, code: str) -> bytes:
    return whole(status, JSON, b'{"error":{"code":"%b","message":"No."}}' % code.encode())


ANSWERS: dict[str, Answer] = {
    "reset": staging.reset,
    "html_403": staging.REFUSALS["html_403"],
    "busy": saying(refused(429, "1302")),
    "overloaded": saying(refused(429, "1305")),
    "http_500": saying(refused(500, "500")),
    "cut_json": saying(whole(200, JSON, b'{"data":[{"in')),
    "wrong_shape": saying(whole(200, JSON, staging.ODD_RESULT)),
    "gzip": saying(whole(200, JSON, staging.GARBAGE, "content-encoding: gzip")),
    "tiny": staging.byte_by_byte,
}
FAULTS = ("refused", *ANSWERS)
CODES = {"busy": "rate_limit_exceeded", "overloaded": "rate_limit_exceeded"}
TRIES = {"refused": 0, "busy": 3, "overloaded": 2, "http_500": 2}
"""So often the API hears of a call. Everything else is tried once."""


class Told(NamedTuple):
    status: int
    code: str = ""
    is_right: bool = True


@dataclass
class World:
    official: Official
    proxy: FaultProxy
    live: LiveGateway
    client: Client


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
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("GLM_API_BASE_URL", proxy.base_url)
    monkeypatch.setenv("GLM_API_KEYS", server.official.add_key())
    monkeypatch.setenv("API_KEYS", KEY)
    for name in ("CONNECT_TIMEOUT_S", "FIRST_CONTENT_TIMEOUT_S", "IDLE_TIMEOUT_S"):
        monkeypatch.setenv(name, HEAVY_TIMEOUT_S if fault in staging.HEAVY else TIMEOUT_S)
    with httpx.Client(timeout=60.0, trust_env=False) as http:
        yield World(server.official, proxy, live, Client(http, live.url))


def told_by(response: httpx.Response, is_right: Callable[[], bool]) -> Told:
    if response.status_code < 400:
        return Told(response.status_code, is_right=is_right())
    return Told(response.status_code, response.json()["error"]["code"])


def embed(world: World) -> Told:
    response = world.client.post("/v1/embeddings", {"input": "a", "dimensions": 256})
    return told_by(response, lambda: response.json()["data"][0]["embedding"] == make_vector("a", 256))


def rank(world: World) -> Told:
    response = world.client.post("/v1/rerank", {"query": "cat", "documents": ["dog", "cat"]})
    return told_by(response, lambda: bool(response.json()["results"][0]["index"] == 1))


def hear(world: World) -> Told:
    response = world.client.request("POST", "/v1/audio/transcriptions", files={"file": ("a.wav", WAV)})
    return told_by(response, lambda: "You sent a.wav" in response.json()["text"])


def hear_streamed(world: World) -> Told:
    response = world.client.request(
        "POST", "/v1/audio/transcriptions", data={"stream": "true"}, files={"file": ("a.wav", WAV)}
    )
    return told_by(response, lambda: Streamed(200, response.headers, response.content).is_done)


def speak(world: World) -> Told:
    response = world.client.post("/v1/audio/speech", {"input": "Hello"})
    return told_by(response, lambda: response.content == wav_of(make_sound("Hello")))


def speak_streamed(world: World) -> Told:
    response = world.client.post("/v1/audio/speech", {"input": "Hello", "response_format": "pcm"})
    return told_by(response, lambda: response.content == make_sound("Hello"))


def draw(world: World) -> Told:
    response = world.client.post("/v1/images/generations", {"model": "cogview-4", "prompt": "a cat"})
    return told_by(response, lambda: len(response.json()["data"]) == 1)


def order(world: World) -> Told:
    response = world.client.post("/v1/videos", {"model": "cogvideox-3", "prompt": "a cat"})
    return told_by(response, lambda: bool(response.json()["status"] == "queued"))


class Kind(NamedTuple):
    path: str
    ask: Callable[[World], Told]
    answers: dict[str, Answer] = ANSWERS


SOUND_ANSWERS = ANSWERS | {"tiny": staging.forward}
"""A sound is no JSON: spaces before it would be a part of it."""


KINDS = {
    "embeddings": Kind("embeddings$", embed),
    "rerank": Kind("rerank$", rank),
    "transcription": Kind("audio/transcriptions$", hear),
    "transcription_streamed": Kind("audio/transcriptions$", hear_streamed),
    "speech": Kind("audio/speech$", speak, SOUND_ANSWERS),
    "speech_streamed": Kind("audio/speech$", speak_streamed, SOUND_ANSWERS),
    "images": Kind("images/generations$", draw),
    "video_order": Kind("videos/generations$", order),
}


def expected(fault: str) -> Told:
    if fault == "tiny":
        return Told(200)
    code = CODES.get(fault, "upstream_error")
    return Told(429 if fault in CODES else 502, code)


def expected_tries(call: str, fault: str) -> int:
    if (call, fault) == ("video_order", "http_500"):
        return 1  # It may have begun.
    return TRIES.get(fault, 1)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", KINDS)
def test_a_fault_is_told_and_leaves_nothing_behind(world: World, call: str, fault: str) -> None:
    kind, proxy = KINDS[call], world.proxy
    before = proxy.count(kind.path)
    if fault in kind.answers:
        proxy.stage(kind.path, kind.answers[fault], times=1000)
    else:
        proxy.refuse()
    try:
        told = kind.ask(world)
    finally:
        proxy.lift()
    assert told == expected(fault)
    assert proxy.count(kind.path) - before == expected_tries(call, fault)
    wait_until(lambda: world.live.is_idle() and world.official.active() == 0, EASE_S, "all is let go of")
    assert world.live.complaints == proxy.complaints == []
    assert world.official.violations == []
    assert kind.ask(world) == Told(200), "the next request is served"
