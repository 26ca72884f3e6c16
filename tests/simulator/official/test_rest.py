"""Keys, models, vectors, media, audio, control and faults of the simulated official API."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulator.official.app import Official
from simulator.official.audio import make_sound
from simulator.official.server import OfficialServer
from tests.simulator.official.client import Client, code_of, read_chunks

ROOT = Path(__file__).parents[3]


# Keys


@pytest.mark.parametrize(
    ("key", "code"), [("", "1001"), ("nonsense", "1002"), ("0" * 32 + "." + "a" * 16, "1000")]
)
def test_a_wrong_key_is_refused(http: httpx.Client, sim: Official, key: str, code: str) -> None:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    assert code_of(http.get("/models", headers=headers)) == (401, code)


def test_a_key_has_the_documented_form(sim: Official) -> None:
    assert re.fullmatch(r"[0-9a-f]{32}\.[A-Za-z0-9]{16}", sim.add_key())


def test_a_key_without_balance_reaches_free_models_only(http: httpx.Client, sim: Official) -> None:
    client = Client(http, sim.add_key(has_balance=False))
    assert client.get("models").status_code == 200
    assert client.chat("Hi", model="glm-4.5-flash").status_code == 200
    assert code_of(client.chat("Hi")) == (429, "1113")
    assert code_of(client.post("tokenizer", {"model": "glm-4.6", "messages": []})) == (429, "1113")
    plan = Client(http, sim.add_key(is_plan=True))
    assert code_of(plan.chat("Hi", model="glm-4.5-flash")) == (429, "1113")
    expired = Client(http, sim.add_key(refused="1003"))
    assert code_of(expired.get("models")) == (401, "1003")


def test_a_cookie_that_comes_back_is_noted(client: Client, sim: Official) -> None:
    first = client.get("models")
    assert "acw_tc=" in first.headers["set-cookie"]
    assert first.headers["x-log-id"]
    assert "retry-after" not in first.headers
    client.post("tokenizer", {"model": "glm-4.6", "messages": []}, Cookie="acw_tc=1")
    assert sim.violations == ["tokenizer: a cookie came back"]


def test_the_list_of_models_lacks_the_free_ones(client: Client) -> None:
    names = {model["id"] for model in client.get("models").json()["data"]}
    assert {"glm-5.3", "glm-4.6"} <= names
    assert "glm-4.5-flash" not in names


# Vectors


def test_embeddings_are_vectors_of_the_asked_size(client: Client, sim: Official) -> None:
    body: dict[str, Any] = {"model": "embedding-3", "input": ["a", "b", "a"], "dimensions": 256}
    answer = client.post("embeddings", body).json()
    one, two, three = (item["embedding"] for item in answer["data"])
    assert (len(one), one == three, one == two) == (256, True, False)
    assert sum(value * value for value in one) == pytest.approx(1, abs=1e-4)
    assert [item["index"] for item in answer["data"]] == [0, 1, 2]
    assert answer["usage"]["total_tokens"] > 0
    assert sim.violations == []
    client.post("embeddings", body | {"encoding_format": "base64"})
    assert sim.violations == ["embeddings: unknown field encoding_format"]


@pytest.mark.parametrize(
    "change",
    [
        {"input": []},
        {"input": ["x"] * 65},
        {"input": [""]},
        {"input": 1},
        {"dimensions": 300},
        {"input": "x" * 20_000},
    ],
)
def test_wrong_embeddings_are_refused(client: Client, change: dict[str, Any]) -> None:
    body = {"model": "embedding-3", "input": "a"} | change
    assert code_of(client.post("embeddings", body)) == (400, "1214")


def test_embeddings_are_for_china_only(client: Client, sim: Official) -> None:
    sim.region = "zai"
    for path, model in (("embeddings", "embedding-3"), ("rerank", "rerank"), ("audio/speech", "glm-tts")):
        assert code_of(client.post(path, {"model": model, "input": "a"})) == (400, "1211")


def test_a_rerank_sorts_by_relevance(client: Client) -> None:
    body = {"model": "rerank", "query": "red apple", "documents": ["a pear", "a red apple", "an apple"]}
    results = client.post("rerank", body | {"return_documents": True}).json()["results"]
    assert [(result["index"], result["document"]) for result in results[:2]] == [
        (1, "a red apple"),
        (2, "an apple"),
    ]
    assert len(client.post("rerank", body | {"top_n": 1}).json()["results"]) == 1
    assert code_of(client.post("rerank", body | {"documents": ["x"] * 129})) == (400, "1214")


def test_tokens_are_counted_and_the_web_is_searched(client: Client) -> None:
    messages = [{"role": "user", "content": "x" * 400}]
    assert (
        client.post("tokenizer", {"model": "glm-4.6", "messages": messages}).json()["usage"]["prompt_tokens"]
        > 90
    )
    body = {"search_engine": "search_std", "search_query": "q", "count": 1}
    assert len(client.post("web_search", body).json()["search_result"]) == 1
    assert code_of(client.post("web_search", body | {"search_query": "q" * 71})) == (400, "1214")


# Media


def test_an_image_is_an_address(client: Client, sim: Official, official_server: OfficialServer) -> None:
    sim.file_base = official_server.base_url.removesuffix("/api/paas/v4")
    body = {"model": "cogview-3-flash", "prompt": "A cat", "size": "1024x1024"}
    [image] = client.post("images/generations", body).json()["data"]
    assert httpx.get(image["url"]).content.startswith(b"\x89PNG")
    assert sim.violations == []
    client.post("images/generations", body | {"response_format": "b64_json"})
    assert sim.violations == ["images/generations: unknown field response_format"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"model": "dall-e-3"}, "1211"),
        ({"size": "100x100"}, "1214"),
        ({"size": "1025x1024"}, "1214"),
        ({"size": "2048x2048"}, "1214"),
        ({"model": "glm-image", "size": "1024x1024", "quality": "standard"}, "1214"),
        ({"prompt": "x" * 1001}, "1214"),
        ({"prompt": ""}, "1214"),
        ({"prompt": "[scene:error code=1301]"}, "1301"),
    ],
)
def test_a_wrong_image_is_refused(client: Client, change: dict[str, Any], code: str) -> None:
    body = {"model": "cogview-4", "prompt": "A cat"} | change
    assert code_of(client.post("images/generations", body)) == (400, code)


def test_a_video_is_ordered_and_polled(client: Client, sim: Official) -> None:
    body = {"model": "cogvideox-flash", "prompt": "A cat [scene:order polls=2]"}
    order = client.post("videos/generations", body).json()
    assert order["task_status"] == "PROCESSING"
    states = [client.get(f"async-result/{order['id']}").json() for _ in range(3)]
    assert [state["task_status"] for state in states] == ["PROCESSING", "PROCESSING", "SUCCESS"]
    assert states[2]["video_result"][0]["url"].endswith(".mp4")
    failing = client.post("videos/generations", body | {"prompt": "[scene:order polls=0 fails=1]"}).json()
    assert client.get(f"async-result/{failing['id']}").json()["task_status"] == "FAIL"
    stranger = Client(client.http, sim.add_key())
    assert stranger.get(f"async-result/{order['id']}").status_code == 400


@pytest.mark.parametrize("change", [{"fps": 24}, {"duration": 7}, {"quality": "best"}, {"prompt": "x" * 513}])
def test_a_wrong_video_is_refused(client: Client, change: dict[str, Any]) -> None:
    body = {"model": "cogvideox-3", "prompt": "A cat"} | change
    assert code_of(client.post("videos/generations", body)) == (400, "1214")


# Audio


def transcribe(client: Client, name: str = "a.wav", **fields: str) -> httpx.Response:
    return client.http.post(
        "/audio/transcriptions",
        data={"model": "glm-asr-2512", **fields},
        files={"file": (name, b"RIFF....", "audio/wav")},
        headers={"Authorization": f"Bearer {client.key}"},
    )


def test_a_transcription_names_the_file(client: Client) -> None:
    answer = transcribe(client).json()
    assert answer["text"].startswith("You sent a.wav, 8 bytes, ")
    chunks = read_chunks(transcribe(client, stream="true").text)
    assert "".join(chunk.get("delta", "") for chunk in chunks) == answer["text"]
    assert [chunk.get("type") for chunk in chunks[-2:]] == ["transcript.text.done", None]
    assert code_of(transcribe(client, name="a.ogg")) == (400, "1214")
    assert code_of(transcribe(client, model="whisper-1")) == (400, "1211")
    assert code_of(client.post("audio/transcriptions", {"model": "glm-asr-2512"})) == (400, "1213")


def test_speech_is_a_sound(client: Client) -> None:
    body = {"model": "glm-tts", "input": "你好 hello", "voice": "jam"}
    wav = client.post("audio/speech", body)
    assert (wav.headers["content-type"], wav.content[:4], wav.content[8:12]) == (
        "audio/wav",
        b"RIFF",
        b"WAVE",
    )
    pcm = client.post("audio/speech", body | {"response_format": "pcm"}).content
    assert wav.content[44:] == pcm == make_sound("你好 hello")
    for encoding, decode in (("base64", base64.b64decode), ("hex", bytes.fromhex)):
        form = {"response_format": "pcm", "stream": True, "encode_format": encoding}
        chunks = read_chunks(client.post("audio/speech", body | form).text)
        pieces = [chunk["choices"][0].get("delta", {}).get("content", "") for chunk in chunks if chunk]
        assert b"".join(decode(piece) for piece in pieces) == pcm


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"input": "x" * 1025}, "1214"),
        ({"voice": "alloy"}, "1214"),
        ({"response_format": "mp3"}, "1214"),
        ({"speed": 3}, "1214"),
        ({"stream": True}, "1215"),
        ({"model": "tts-1"}, "1211"),
    ],
)
def test_wrong_speech_is_refused(client: Client, change: dict[str, Any], code: str) -> None:
    body = {"model": "glm-tts", "input": "hi"} | change
    assert code_of(client.post("audio/speech", body)) == (400, code)


# Control


def test_everything_can_be_done_over_http(official_server: OfficialServer, sim: Official) -> None:
    root = official_server.base_url.removesuffix("/api/paas/v4") + "/__simulator__"
    with httpx.Client(base_url=root) as control, httpx.Client(base_url=official_server.base_url) as http:
        client = Client(http, control.post("/keys", json={"has_balance": False}).json()["key"])
        control.post("/play", json={"scene": "error code=1305", "key": client.key})
        assert code_of(client.chat("Hi", model="glm-4.5-flash")) == (429, "1305")
        control.post("/fail", json={"path_suffix": "models", "status": 503, "body": {"a": 1}})
        assert client.get("models").status_code == 503
        control.post("/fail", json={"path_suffix": "models", "disconnect": True})
        with pytest.raises(httpx.TransportError):
            client.get("models")
        state = control.get("/state").json()
        assert state["keys"] == [{"label": client.key[:32], "in_flight": 0, "max_in_flight": 1}]
        assert state["last_calls"][0] == "POST chat/completions"
        assert "error" in state["scenes"]
        assert control.post("/play", json={"scene": "no_such"}).status_code == 400
        control.post("/reset", json={"keys": True})
        assert control.get("/state").json()["keys"] == []


def test_an_unknown_path_is_noted(client: Client, sim: Official) -> None:
    assert client.get("batches").status_code == 404
    assert sim.violations == ["unknown path: GET /api/paas/v4/batches"]


def test_the_program_prints_where_it_listens() -> None:
    command = [sys.executable, "-m", "simulator.official", "--port", "0", "--pace", "0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        printed = json.loads(process.stdout.readline())
        answer = httpx.get(f"{printed['url']}/models", headers={"Authorization": f"Bearer {printed['key']}"})
        assert answer.status_code == 200
    finally:
        process.terminate()
        process.communicate(timeout=5)
