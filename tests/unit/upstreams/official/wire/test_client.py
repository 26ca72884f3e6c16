"""The calls over a real socket, against the simulator, which is as strict as the real API."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from typing import Any

import pytest

from lib.chat.caller import is_official_key
from lib.errors import (
    GatewayError,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from lib.receiving import UpstreamStream
from lib.upstreams.official.wire.client import Form, OfficialAPI, Upload
from lib.upstreams.official.wire.keys import Key
from simulator.official.app import Official

CHAT: dict[str, Any] = {"model": "glm-4.5", "messages": [{"role": "user", "content": "Hello!"}]}


async def read_all(stream: UpstreamStream) -> bytes:
    pieces = []
    try:
        while piece := await stream.read():
            pieces.append(piece)
    finally:
        await stream.aclose()
    return b"".join(pieces)


async def test_json_is_posted_with_the_key_and_no_cookie_is_kept(
    api: OfficialAPI, key: Key, official: Official
) -> None:
    for _ in range(2):
        answer = await api.post(key, "embeddings", {"model": "embedding-3", "input": "Words"})
        assert json.loads(answer.body)["object"] == "list"
    first, second = official.calls
    assert first.headers["authorization"] == f"Bearer {key.text}"
    assert first.headers["content-type"] == "application/json"
    assert first.headers["user-agent"] == "glm-gateway"
    assert "cookie" not in second.headers, "the simulator set one"


async def test_the_list_of_models_is_a_free_call(api: OfficialAPI, official: Official) -> None:
    poor = Key(official.add_key(has_balance=False))
    names = [entry["id"] for entry in json.loads((await api.get(poor, "models")).body)["data"]]
    assert "glm-4.6" in names
    (call,) = official.calls
    assert "content-type" not in call.headers


@pytest.mark.parametrize("file", [b"RIFF sound", io.BytesIO(b"RIFF sound")])
async def test_a_form_carries_a_file_and_can_be_sent_again(
    api: OfficialAPI, key: Key, file: bytes | io.BytesIO
) -> None:
    form = Form({"model": "glm-asr-2512"}, Upload("a.wav", file, "audio/wav"))
    for _ in range(2):
        answer = await api.post(key, "audio/transcriptions", form)
        assert hashlib.sha256(b"RIFF sound").hexdigest()[:12] in json.loads(answer.body)["text"]


async def test_a_file_comes_as_bytes(api: OfficialAPI, key: Key) -> None:
    answer = await api.post(key, "audio/speech", {"model": "glm-tts", "input": "Hello", "voice": "tongtong"})
    assert answer.content_type == "audio/wav"
    assert answer.body.startswith(b"RIFF")


async def test_a_larger_answer_than_expected_is_not_read(api: OfficialAPI, key: Key) -> None:
    body = {"model": "embedding-3", "input": "Words"}
    with pytest.raises(UpstreamProtocolError, match="too large"):
        await api.post(key, "embeddings", body, max_bytes=100)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_no_redirect_is_followed_so_the_key_goes_nowhere_else(
    key: Key, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        answer = (
            f"HTTP/1.1 {status} Moved\r\nlocation: http://127.0.0.1:{port}/b\r\ncontent-length: 0\r\n\r\n"
        )
        writer.write(answer.encode())
        await writer.drain()
        writer.close()

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    async with await asyncio.start_server(redirect, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        api = OfficialAPI(f"http://127.0.0.1:{port}")
        for asking in (api.get(key, "a"), api.post(key, "a", {}), api.open_stream(key, "a", {})):
            with pytest.raises(UpstreamError):
                await asking
        await api.aclose()
    assert len(asked) == 3
    assert all(request.partition(b" ")[2].startswith(b"/a ") for request in asked)


async def test_a_stream_is_handed_over_as_it_comes(api: OfficialAPI, key: Key) -> None:
    raw = await read_all(await api.open_stream(key, "chat/completions", CHAT | {"stream": True}))
    assert raw.startswith(b"data: {")
    assert raw.endswith(b"data: [DONE]\n\n")


async def test_a_refusal_of_a_stream_is_raised(api: OfficialAPI, key: Key) -> None:
    with pytest.raises(GatewayError) as caught:
        await api.open_stream(key, "chat/completions", CHAT | {"model": "glm-9", "stream": True})
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


async def test_a_stream_that_is_refused_with_http_200_is_raised(
    api: OfficialAPI, key: Key, official: Official
) -> None:
    official.play("json_instead code=1301")
    with pytest.raises(GatewayError) as caught:
        await api.open_stream(key, "chat/completions", CHAT | {"stream": True})
    assert caught.value.code == "content_filter"


async def test_a_whole_answer_is_no_stream(api: OfficialAPI, key: Key) -> None:
    with pytest.raises(UpstreamProtocolError, match="Expected a stream"):
        await api.open_stream(key, "chat/completions", CHAT)


async def test_a_wrong_key_is_refused_and_named_nowhere(api: OfficialAPI, official: Official) -> None:
    wrong = Key(f"{'0' * 32}.{'a' * 16}")
    with pytest.raises(GatewayError) as caught:
        await api.get(wrong, "models")
    assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")
    assert wrong.text not in caught.value.message
    assert wrong.text not in repr([wrong, api])
    assert wrong.label in repr(wrong)


async def test_silence_and_a_broken_connection_are_errors_of_ours(
    api: OfficialAPI, key: Key, official: Official
) -> None:
    official.fail("models", disconnect=True)
    with pytest.raises(UpstreamUnreachable):
        await api.get(key, "models")
    official.fail("models", delay_s=30)
    with pytest.raises(UpstreamTimeout):
        await api.get(key, "models", timeout_s=0.05)


async def test_a_firewalls_page_is_told(api: OfficialAPI, key: Key, official: Official) -> None:
    official.fail("models", status=405, body="<!DOCTYPE html>", content_type="text/html")
    with pytest.raises(UpstreamProtocolError, match="HTTP 405 with text/html"):
        await api.get(key, "models")


@pytest.mark.parametrize(
    ("text", "has_form"),
    [
        (f"{'0a' * 16}.{'b' * 16}", True),
        (f"{'0a' * 16}.{'b' * 7}", False),
        (f"{'0A' * 16}.{'b' * 16}", False),
        ("eyJhbGci.eyJzdWIi.c2ln", False),
        ("0a" * 16, False),
    ],
)
def test_a_key_is_told_from_a_refresh_token_by_its_form(text: str, has_form: bool) -> None:
    assert is_official_key(text) is has_form


def test_a_key_is_named_by_the_hash_of_its_id() -> None:
    key = Key(f"{'0a' * 16}.{'b' * 16}")
    assert key.label == hashlib.sha256(b"0a" * 16).hexdigest()[:8]
