"""OpenAI's audio: POST /v1/audio/transcriptions (speech to text) and /v1/audio/speech (text to speech)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

import msgspec

from lib import sse
from lib.chat.audio import (
    SoundForm,
    SpeechRequest,
    TranscriptDelta,
    TranscriptDone,
    TranscriptEvent,
    TranscriptForm,
    TranscriptionRequest,
)
from lib.dialects.fields import read_model
from lib.dialects.json_body import decode_body, invalid_value, missing_field, unsupported
from lib.errors import InvalidRequest

MAX_SPEECH_CHARS = 1024
"""The upstream's own limits (2026-09), here and below."""
MIN_SPEED, MAX_SPEED = 0.5, 2.0
MAX_VOLUME = 10.0

SOUND_TYPES: Mapping[SoundForm, str] = {"wav": "audio/wav", "pcm": "audio/pcm"}
TRANSCRIPT_TYPES: Mapping[TranscriptForm, str] = {"json": "application/json", "text": "text/plain"}
_TRANSCRIPTS: Mapping[str, TranscriptForm] = {"json": "json", "text": "text"}
_SOUNDS: Mapping[str, SoundForm] = {"wav": "wav", "pcm": "pcm"}
_TIMED = ("verbose_json", "srt", "vtt", "diarized_json")
_COMPRESSED = ("mp3", "opus", "aac", "flac")
_TRUE, _FALSE = ("true", "1"), ("false", "0", "")


class _Voice(msgspec.Struct):
    id: str


class _Speech(msgspec.Struct):
    """The upstream has no use for `instructions`, so the parser ignores it."""

    input: str
    model: str | None = None
    voice: str | _Voice | None = None
    speed: float | None = None
    volume: float | None = None
    response_format: str | None = None
    stream_format: str | None = None


_speech_decoder = msgspec.json.Decoder(_Speech)


def parse_transcription(texts: Mapping[str, str], *, file_name: str | None) -> TranscriptionRequest:
    """Read the fields of the form. `language`, `temperature` and the like change nothing upstream.

    Without a file its name is None.
    """
    if file_name is None:
        raise missing_field("file")
    return TranscriptionRequest(
        model=read_model(texts.get("model")),
        prompt=texts.get("prompt", ""),
        file_name=file_name,
        form=_transcript_form(texts.get("response_format")),
        stream=_flag("stream", texts.get("stream", "")),
    )


def refuse_json(body: bytes | None) -> None:
    """Refuse a body that is no form: a recording comes as a file."""
    if body is not None:
        raise InvalidRequest(
            "Expected a multipart form with the recording as its field 'file'.", code="invalid_form"
        )


def render_transcript(text: str, form: TranscriptForm) -> bytes:
    return text.encode() if form == "text" else msgspec.json.encode({"text": text})


def render_transcript_event(event: TranscriptEvent) -> bytes:
    """Write one event of a stream. `[DONE]` follows the last one."""
    match event:
        case TranscriptDelta():
            return _event({"type": "transcript.text.delta", "delta": event.text})
        case TranscriptDone():
            return _event({"type": "transcript.text.done", "text": event.text}) + sse.DONE
        case _:
            assert_never(event)


def parse_speech(body: bytes) -> SpeechRequest:
    """Raise InvalidRequest, and nothing else, for any mistake in the body."""
    wire = decode_body(body, _speech_decoder)
    if not wire.input.strip():
        raise invalid_value("input", "a text that is not empty", wire.input)
    if len(wire.input) > MAX_SPEECH_CHARS:
        raise InvalidRequest(
            f"Invalid value for 'input': expected at most {MAX_SPEECH_CHARS} characters, "
            f"got {len(wire.input)}.",
            param="input",
        )
    if wire.stream_format not in (None, "audio"):
        raise unsupported("stream_format", "the gateway sends the sound itself; leave it out")
    voice = wire.voice.id if isinstance(wire.voice, _Voice) else wire.voice
    return SpeechRequest(
        text=wire.input,
        model=read_model(wire.model),
        voice=voice or "",
        speed=_within("speed", wire.speed, MIN_SPEED, MAX_SPEED),
        volume=_within("volume", wire.volume, 0.0, MAX_VOLUME),
        form=_sound_form(wire.response_format),
    )


def _event(value: dict[str, Any]) -> bytes:
    return sse.encode_data(msgspec.json.encode(value))


def _transcript_form(form: str | None) -> TranscriptForm:
    if form in _TIMED:
        raise unsupported("response_format", f"the upstream gives no times, so {form} cannot be made")
    if form and form not in _TRANSCRIPTS:
        raise invalid_value("response_format", "'json' or 'text'", form)
    return _TRANSCRIPTS[form] if form else "json"


def _sound_form(form: str | None) -> SoundForm:
    if form in _COMPRESSED:
        raise unsupported("response_format", f"the upstream makes wav and pcm, not {form}")
    if form and form not in _SOUNDS:
        raise invalid_value("response_format", "'wav' or 'pcm'", form)
    return _SOUNDS[form] if form else "wav"


def _within(param: str, number: float | None, lowest: float, highest: float) -> float | None:
    if number is not None and not lowest <= number <= highest:
        raise invalid_value(param, f"a number from {lowest:g} to {highest:g}", str(number))
    return number


def _flag(param: str, text: str) -> bool:
    word = text.strip().lower()
    if word not in (*_TRUE, *_FALSE):
        raise invalid_value(param, "'true' or 'false'", text)
    return word in _TRUE
