"""OpenAI's requests for transcripts and speech, and the answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lib.chat.audio import SpeechRequest, TranscriptDelta, TranscriptDone, TranscriptionRequest
from lib.dialects.openai_audio import (
    MAX_SPEECH_CHARS,
    parse_speech,
    parse_transcription,
    refuse_json,
    render_transcript,
    render_transcript_event,
)
from lib.errors import InvalidRequest


def transcription(**texts: str) -> TranscriptionRequest:
    return parse_transcription(texts, file_name="a.wav")


def speech(**fields: Any) -> SpeechRequest:
    return parse_speech(json.dumps({"input": "Hello", **fields}).encode())


def test_a_recording_is_enough() -> None:
    assert transcription() == TranscriptionRequest(file_name="a.wav")


def test_all_that_changes_a_transcript_is_read() -> None:
    texts = {"model": "whisper-1", "prompt": "GLM", "response_format": "text", "language": "zh"}
    wanted = TranscriptionRequest(model="whisper-1", prompt="GLM", file_name="a.wav", form="text")
    assert transcription(**texts) == wanted


@pytest.mark.parametrize(
    ("word", "streams"), [("true", True), ("True", True), ("1", True), ("false", False), ("", False)]
)
def test_a_forms_words_switch_the_stream(word: str, streams: bool) -> None:
    assert transcription(stream=word).stream is streams


@pytest.mark.parametrize(
    ("texts", "code", "param"),
    [
        ({"response_format": "srt"}, "unsupported_parameter", "response_format"),
        ({"response_format": "verbose_json"}, "unsupported_parameter", "response_format"),
        ({"response_format": "xml"}, "invalid_value", "response_format"),
        ({"stream": "perhaps"}, "invalid_value", "stream"),
        ({"model": "m" * 300}, "invalid_value", "model"),
    ],
)
def test_a_mistake_in_the_form_is_named(texts: dict[str, str], code: str, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        transcription(**texts)
    assert (caught.value.code, caught.value.param) == (code, param)


def test_a_form_without_a_recording_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_transcription({}, file_name=None)
    assert (caught.value.code, caught.value.param) == ("missing_field", "file")


def test_json_is_no_form() -> None:
    refuse_json(None)
    with pytest.raises(InvalidRequest) as caught:
        refuse_json(b"{}")
    assert caught.value.code == "invalid_form"


def test_a_transcript_is_json_or_its_text() -> None:
    assert render_transcript('你好 "x"', "json") == '{"text":"你好 \\"x\\""}'.encode()
    assert render_transcript("你好", "text") == "你好".encode()


def test_a_streamed_transcript_ends_with_its_whole_text() -> None:
    assert render_transcript_event(TranscriptDelta("a")) == (
        b'data: {"type":"transcript.text.delta","delta":"a"}\n\n'
    )
    assert render_transcript_event(TranscriptDone("ab")) == (
        b'data: {"type":"transcript.text.done","text":"ab"}\n\ndata: [DONE]\n\n'
    )


def test_words_are_enough_and_wav_is_the_default() -> None:
    assert speech() == SpeechRequest(text="Hello", form="wav")


def test_all_that_changes_the_speech_is_read() -> None:
    asked = speech(model="tts-1", voice={"id": "jam"}, speed=1.5, volume=2, response_format="pcm")
    wanted = SpeechRequest(text="Hello", model="tts-1", voice="jam", speed=1.5, volume=2.0, form="pcm")
    assert asked == wanted
    nothing = dict.fromkeys(("model", "voice", "speed", "volume", "response_format", "stream_format"))
    assert speech(**nothing) == speech(stream_format="audio") == speech()


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"input": " "}, "invalid_value", "input"),
        ({"input": "x" * (MAX_SPEECH_CHARS + 1)}, "invalid_value", "input"),
        ({"speed": 4}, "invalid_value", "speed"),
        ({"speed": 0.25}, "invalid_value", "speed"),
        ({"volume": 11}, "invalid_value", "volume"),
        ({"response_format": "mp3"}, "unsupported_parameter", "response_format"),
        ({"response_format": "midi"}, "invalid_value", "response_format"),
        ({"stream_format": "sse"}, "unsupported_parameter", "stream_format"),
    ],
)
def test_a_mistake_in_a_speech_is_named(fields: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        speech(**fields)
    assert (caught.value.code, caught.value.param) == (code, param)
