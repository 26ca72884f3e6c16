"""Transcripts and speech over a live server and the simulated official API."""

from __future__ import annotations

import hashlib
from io import BytesIO
from typing import Any

import httpx
import pytest
from openai import BadRequestError, OpenAI

from lib.upstreams.official.sounds import MAX_SOUND_BYTES, MAX_TRANSCRIPT_CHARS
from lib.web.overload import LOAD, LoadLimits
from simulator.official.app import Official
from simulator.official.audio import make_sound, wav_of
from simulator.official.errors import error_body
from tests.support.client import Client, Streamed, error_of

TRANSCRIPTIONS, SPEECH = "/v1/audio/transcriptions", "/v1/audio/speech"
WAV = wav_of(make_sound("A recording."))
MP3 = b"ID3\x04" + bytes(2000)
SAID = f"You sent hello.wav, {len(WAV)} bytes, {hashlib.sha256(WAV).hexdigest()[:12]}. 你好。"


def transcribe(
    client: Client, content: bytes = WAV, name: str = "hello.wav", **fields: str
) -> httpx.Response:
    files = {"file": (name, content, "application/octet-stream")}
    return client.request("POST", TRANSCRIPTIONS, data=fields, files=files)


def speak(client: Client, **fields: Any) -> httpx.Response:
    return client.post(SPEECH, {"model": "glm-tts", "input": "Hello", **fields})


def sent(official: Official, path: str) -> Any:
    [call] = official.calls_to(path)
    return call.json


def test_a_recording_becomes_text(official_client: Client, official: Official) -> None:
    answer = transcribe(official_client, model="glm-asr-2512", prompt="names")
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"text": SAID}
    assert answer.headers["x-glm-model"] == "glm-asr-2512"
    assert answer.headers["x-glm-upstream"] == "api"
    form = sent(official, "audio/transcriptions")
    assert (form["model"], form["prompt"], form["stream"]) == ("glm-asr-2512", "names", "false")
    assert form["file"]["content_type"] == "audio/wav"


def test_text_alone_if_asked_for(official_client: Client) -> None:
    answer = transcribe(official_client, response_format="text")
    assert answer.text == SAID
    assert answer.headers["content-type"].startswith("text/plain")


def test_any_other_name_is_served(official_client: Client, official: Official) -> None:
    assert transcribe(official_client, model="whisper-1").status_code == 200
    assert sent(official, "audio/transcriptions")["model"] == "glm-asr-2512"


@pytest.mark.parametrize(
    ("content", "name", "sent_as"),
    [
        (WAV, "hello.wav", "hello.wav"),
        (WAV, "hello", "hello.wav"),
        (WAV, "voice.note.webm", "voice_note_webm.wav"),
        (MP3, "hello.WAV", "hello_WAV.mp3"),
        (b"\xff\xfb\x90" + bytes(99), "a.mp3", "a.mp3"),
        (b"unknown, but named", "a.wav", "a.wav"),
    ],
)
def test_a_recording_is_named_by_its_kind(
    official_client: Client, official: Official, content: bytes, name: str, sent_as: str
) -> None:
    assert transcribe(official_client, content, name).status_code == 200
    assert sent(official, "audio/transcriptions")["file"]["file_name"] == sent_as


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, "invalid_file"),
        (b"\x1aE\xdf\xa3webm", 400, "invalid_file"),
        (b"RIFF\0\0\0\0WAVE" + bytes(25 * 1024 * 1024), 413, "request_too_large"),
    ],
    ids=["empty", "webm", "large"],
)
def test_a_recording_that_the_api_does_not_take_is_not_sent(
    official_client: Client, official: Official, content: bytes, status: int, code: str
) -> None:
    refused = transcribe(official_client, content, "a.webm")
    assert (refused.status_code, error_of(refused)["code"]) == (status, code)
    assert error_of(refused)["param"] == "file"
    assert official.calls == []


def test_words_come_as_they_are_heard(official_client: Client) -> None:
    answer = transcribe(official_client, stream="true")
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = Streamed(answer.status_code, answer.headers, answer.content)
    *deltas, done = events.objects
    assert {delta["type"] for delta in deltas} == {"transcript.text.delta"}
    assert len(deltas) > 1
    assert "".join(delta["delta"] for delta in deltas) == SAID
    assert done == {"type": "transcript.text.done", "text": SAID}
    assert events.is_done


def event(text: str) -> str:
    return f'data: {{"type":"transcript.text.delta","delta":"{text}"}}\n\n'


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 502),
        (error_body("1301"), 400),
        ('data: {"error":{"code":"1305","message":"busy"}}\n\n', 429),
        ("data: [\n\n", 502),
    ],
    ids=["nothing", "json", "error", "broken"],
)
def test_a_refusal_before_the_first_words_is_a_real_status(
    official_client: Client, official: Official, body: Any, status: int
) -> None:
    official.fail("audio/transcriptions", status=200, body=body, content_type="text/event-stream", times=9)
    assert transcribe(official_client, stream="true").status_code == status


def test_a_cut_after_the_first_words_is_an_error_event(official_client: Client, official: Official) -> None:
    official.fail("audio/transcriptions", status=200, body=event("a"), content_type="text/event-stream")
    answer = transcribe(official_client, stream="true")
    events = Streamed(answer.status_code, answer.headers, answer.content)
    assert events.objects[0]["delta"] == "a"
    assert events.error is not None
    assert events.error["code"] == "upstream_error"
    assert not events.is_done


def test_a_body_without_a_recording_is_refused(official_client: Client) -> None:
    refused = official_client.post(TRANSCRIPTIONS, {"model": "glm-asr-2512"})
    assert (refused.status_code, error_of(refused)["code"]) == (400, "invalid_form")
    parts = {"model": (None, "glm-asr-2512")}
    refused = official_client.request("POST", TRANSCRIPTIONS, files=parts)
    assert (refused.status_code, error_of(refused)["param"]) == (400, "file")


def test_without_a_key_a_recording_is_refused(client: Client) -> None:
    refused = transcribe(client)
    assert (refused.status_code, error_of(refused)["code"]) == (400, "official_key_missing")
    assert "GLM_API_KEYS" in error_of(refused)["message"]


def test_words_become_a_wav(official_client: Client, official: Official) -> None:
    answer = speak(official_client)
    assert answer.status_code == 200, answer.text
    assert answer.content == wav_of(make_sound("Hello"))
    assert answer.headers["content-type"] == "audio/wav"
    assert answer.headers["x-glm-model"] == "glm-tts"
    assert answer.headers["x-glm-upstream"] == "api"
    assert sent(official, "audio/speech") == {
        "model": "glm-tts",
        "input": "Hello",
        "voice": "tongtong",
        "response_format": "wav",
    }


def test_pcm_comes_as_it_is_made(official_client: Client, official: Official) -> None:
    answer = speak(official_client, response_format="pcm")
    assert answer.content == make_sound("Hello")
    assert answer.headers["content-type"] == "audio/pcm"
    body = sent(official, "audio/speech")
    assert (body["stream"], body["encode_format"]) == (True, "base64")


@pytest.mark.parametrize(
    ("voice", "spoken"), [("jam", "jam"), ("Kazi", "kazi"), ("alloy", "tongtong"), ("", "tongtong")]
)
def test_unknown_voices_are_mapped(
    official_client: Client, official: Official, voice: str, spoken: str
) -> None:
    assert speak(official_client, voice=voice, model="tts-1", speed=1.25, volume=3).status_code == 200
    body = sent(official, "audio/speech")
    assert (body["model"], body["voice"], body["speed"], body["volume"]) == ("glm-tts", spoken, 1.25, 3.0)


@pytest.mark.parametrize(
    "body",
    [b"", "data: [DONE]\n\n", 'data: {"choices":[{"delta":{"content":"%%"}}]}\n\n'],
    ids=["nothing", "end", "broken"],
)
def test_a_speech_without_a_sound_is_an_error(official_client: Client, official: Official, body: Any) -> None:
    official.fail("audio/speech", status=200, body=body, content_type="text/event-stream", times=9)
    refused = speak(official_client, response_format="pcm")
    assert (refused.status_code, error_of(refused)["code"]) == (502, "upstream_error")


def test_a_sound_that_is_cut_does_not_look_complete(official_client: Client, official: Official) -> None:
    body = 'data: {"choices":[{"delta":{"content":"AAAA"}}]}\n\n'
    official.fail("audio/speech", status=200, body=body, content_type="text/event-stream")
    with pytest.raises(httpx.RemoteProtocolError):
        speak(official_client, response_format="pcm")


def test_a_sound_without_an_end_is_cut(official_client: Client, official: Official) -> None:
    piece = "AAAA" * (MAX_SOUND_BYTES // 24)
    body = f'data: {{"choices":[{{"delta":{{"content":"{piece}"}}}}]}}\n\n' * 9
    official.fail(
        "audio/speech", status=200, body=body + "data: [DONE]\n\n", content_type="text/event-stream"
    )
    with pytest.raises(httpx.RemoteProtocolError):
        speak(official_client, response_format="pcm")


def test_a_wav_that_is_none_is_an_error(official_client: Client, official: Official) -> None:
    official.fail("audio/speech", status=200, body=b"<html>", content_type="text/html")
    refused = speak(official_client)
    assert (refused.status_code, error_of(refused)["code"]) == (502, "upstream_error")


def test_a_wav_takes_its_place_in_the_memory_of_all_requests(
    official_client: Client,
    official: Official,
    environment: pytest.MonkeyPatch,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment.setenv("MAX_BODY_BYTES", "100000")
    monkeypatch.setattr(LOAD, "limits", LoadLimits(max_body_bytes=100_000, small_body_bytes=1_000))
    refused = speak(official_client, input="Hello, world")
    assert (refused.status_code, error_of(refused)["code"]) == (503, "overloaded")
    assert official.calls_to("audio/speech") == []
    assert speak(official_client, input="Hello, world", response_format="pcm").status_code == 200
    assert speak(official_client, input="Hello").status_code == 200


def test_a_transcript_without_an_end_is_ended(official_client: Client, official: Official) -> None:
    said = event("a" * (MAX_TRANSCRIPT_CHARS // 2))
    official.fail("audio/transcriptions", status=200, body=said * 3, content_type="text/event-stream")
    answer = transcribe(official_client, stream="true")
    events = Streamed(answer.status_code, answer.headers, answer.content)
    assert len(events.objects) == 3
    assert events.error is not None
    assert "no end" in events.error["message"]


def test_audio_is_for_china_alone(official_client: Client, official: Official) -> None:
    official.region = "zai"
    refused = speak(official_client)
    assert (refused.status_code, error_of(refused)["code"]) == (404, "model_not_found")
    assert "open.bigmodel.cn" in error_of(refused)["message"]


def test_the_sdk_hears_and_speaks(sdk: OpenAI) -> None:
    recording = BytesIO(WAV)
    recording.name = "hello.wav"
    assert sdk.audio.transcriptions.create(model="glm-asr-2512", file=recording).text == SAID
    events = list(sdk.audio.transcriptions.create(model="whisper-1", file=("hello.wav", WAV), stream=True))
    assert [event.type for event in events][-1] == "transcript.text.done"
    assert "".join(event.delta for event in events if event.type == "transcript.text.delta") == SAID
    text: Any = sdk.audio.transcriptions.create(
        model="whisper-1", file=("hello.wav", WAV), response_format="text"
    )
    assert text == SAID
    spoken = sdk.audio.speech.create(model="tts-1", voice="alloy", input="Hello")
    assert spoken.content == wav_of(make_sound("Hello"))
    with sdk.audio.speech.with_streaming_response.create(
        model="glm-tts", voice="jam", input="Hello", response_format="pcm"
    ) as streamed:
        assert b"".join(streamed.iter_bytes()) == make_sound("Hello")
    with pytest.raises(BadRequestError, match="wav and pcm"):
        sdk.audio.speech.create(model="tts-1", voice="alloy", input="Hello", response_format="mp3")
