"""Transcripts and speech of the official API (official documents, 2026-09)."""

from __future__ import annotations

import binascii
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import IO, Any, TypeVar

import msgspec

from lib.chat.audio import (
    SpeechRequest,
    TranscriptDelta,
    TranscriptDone,
    TranscriptEvent,
    TranscriptionRequest,
)
from lib.errors import InvalidRequest, RequestTooLarge, UpstreamProtocolError
from lib.files.names import safe_name
from lib.upstreams.interface import Call, Speech, Transcript
from lib.upstreams.official import names
from lib.upstreams.official.asking import (
    Limits,
    Opened,
    Told,
    decode,
    open_stream,
    post,
    started,
    told_of_regions,
)
from lib.upstreams.official.events import chunks_of
from lib.upstreams.official.gateway import OfficialGateway
from lib.upstreams.official.wire.client import Form, Upload

T = TypeVar("T")

MAX_RECORDING_BYTES = 25 * 1024 * 1024
TRANSCRIPTION_LIMITS = Limits(timeout_s=120.0)
MAX_SOUND_BYTES = 32 * 1024 * 1024
"""The longest sound has about 15 MB."""
SPEECH_LIMITS = Limits(timeout_s=120.0, max_bytes=MAX_SOUND_BYTES)
MAX_TRANSCRIPT_CHARS = 1_000_000
"""The longest recording, 25 MiB, has some hours of speech: far fewer characters. Its words are held until its
end."""

VOICES = ("tongtong", "chuichui", "xiaochen", "jam", "kazi", "douji", "luodo")
"""The first one speaks for every other name."""
_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg"}


class _Transcript(msgspec.Struct):
    text: str
    id: str = ""


_transcript = msgspec.json.Decoder(_Transcript)


class OfficialSounds:
    """Hears and speaks."""

    def __init__(self, gateway: OfficialGateway) -> None:
        self._gateway = gateway

    @asynccontextmanager
    async def open_transcript(
        self, request: TranscriptionRequest, recording: IO[bytes], call: Call
    ) -> AsyncIterator[Transcript]:
        names.require_key(call.caller, request.model)
        model = names.served_by(request.model, names.TRANSCRIPTION, "glm-asr-2512")
        form = Form(_fields(request, model), _upload(recording, request.file_name))
        if not request.stream:
            told = await post(
                self._gateway, call, "audio/transcriptions", form, model=model, limits=TRANSCRIPTION_LIMITS
            )
            made = decode(told.answer, _transcript)
            yield Transcript(
                started(told, call, model=model, answer_id=made.id), _only(TranscriptDone(made.text))
            )
            return
        opening = open_stream(self._gateway, call, "audio/transcriptions", form, model=model)
        async with opening as opened, _begun(_transcript_events(opened, call)) as events:
            yield Transcript(started(opened, call, model=model), events)

    @asynccontextmanager
    async def open_speech(self, request: SpeechRequest, call: Call) -> AsyncIterator[Speech]:
        """Make a WAV in one piece. PCM comes as it is made, because only PCM can be streamed."""
        names.require_key(call.caller, request.model)
        model = names.served_by(request.model, names.SPEECH, "glm-tts")
        body = _speech_body(request, model)
        if request.form == "wav":
            with told_of_regions():
                told = await post(
                    self._gateway, call, "audio/speech", body, model=model, limits=SPEECH_LIMITS
                )
            yield Speech(started(told, call, model=model), _only(_sound_in(told)))
            return
        body |= {"stream": True, "encode_format": "base64"}
        opening = open_stream(self._gateway, call, "audio/speech", body, model=model)
        async with opening as opened, _begun(_sound_pieces(opened, call)) as pieces:
            yield Speech(started(opened, call, model=model), pieces)


def _fields(request: TranscriptionRequest, model: str) -> dict[str, str | list[str]]:
    fields: dict[str, str | list[str]] = {"model": model, "stream": "true" if request.stream else "false"}
    if request.prompt:
        fields["prompt"] = request.prompt
    return fields


def _upload(recording: IO[bytes], name: str) -> Upload:
    """Check the recording, and name it by its kind: the API goes by the name's extension."""
    head = recording.read(12)
    size = recording.seek(0, os.SEEK_END)
    recording.seek(0)
    if not size:
        raise InvalidRequest("The recording is empty.", code="invalid_file", param="file")
    if size > MAX_RECORDING_BYTES:
        raise RequestTooLarge(
            f"Expected a recording of at most {MAX_RECORDING_BYTES} bytes, got {size}.", param="file"
        )
    stem, _, extension = safe_name(name or "recording").rpartition(".")
    kind = _kind_of(head, extension.lower())
    if extension.lower() != kind:
        stem = safe_name(name or "recording").replace(".", "_")
    return Upload(f"{stem}.{kind}", recording, _TYPES[kind])


def _kind_of(head: bytes, extension: str) -> str:
    """Tell the kind by the recording's first bytes, else by its name."""
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "wav"
    is_frame = len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0
    if head[:3] == b"ID3" or is_frame:
        return "mp3"
    if extension in _TYPES:
        return extension
    raise InvalidRequest(
        "Expected a recording in WAV or MP3: the official API takes no other form.",
        code="invalid_file",
        param="file",
    )


async def _transcript_events(opened: Opened, call: Call) -> AsyncGenerator[TranscriptEvent]:
    """Yield the new words, and at the end all of them. The API's last event may lack the text."""
    said: list[str] = []
    size = 0
    whole: str | None = None
    async with aclosing(chunks_of(opened.stream, call)) as chunks:
        async for chunk in chunks:
            match chunk:
                case {"type": "transcript.text.delta", "delta": str(words)} if words:
                    said.append(words)
                    size += len(words)
                    if size > MAX_TRANSCRIPT_CHARS:
                        raise UpstreamProtocolError("The transcript has no end.", retry="never")
                    yield TranscriptDelta(words)
                case {"type": "transcript.text.done"}:
                    text = chunk.get("text")
                    whole = text if isinstance(text, str) else ""
    if whole is None and not said:  # A silent recording has an empty text, but it has one.
        raise UpstreamProtocolError("The official API ended a transcript without a text.", retry="never")
    yield TranscriptDone(whole or "".join(said))


def _speech_body(request: SpeechRequest, model: str) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": model,
        "input": request.text,
        "voice": request.voice.lower() if request.voice.lower() in VOICES else VOICES[0],
        "response_format": request.form,
    }
    wishes = {"speed": request.speed, "volume": request.volume}
    return body | {name: value for name, value in wishes.items() if value is not None}


def _sound_in(told: Told) -> bytes:
    answer = told.answer
    if not answer.body or not (answer.body.startswith(b"RIFF") or answer.content_type.startswith("audio/")):
        raise UpstreamProtocolError("The official API answered a speech without a sound.", retry="never")
    return answer.body


async def _sound_pieces(opened: Opened, call: Call) -> AsyncGenerator[bytes]:
    size = 0
    async with aclosing(chunks_of(opened.stream, call)) as chunks:
        async for chunk in chunks:
            match chunk:
                case {"choices": [{"delta": {"content": str(encoded)}}, *_]} if encoded:
                    size += len(sound := _decoded(encoded))
                    if size > MAX_SOUND_BYTES:
                        raise UpstreamProtocolError("The sound has no end.", retry="never")
                    yield sound
    if not size:
        raise UpstreamProtocolError("The official API ended a speech without a sound.", retry="never")


def _decoded(encoded: str) -> bytes:
    try:
        return binascii.a2b_base64(encoded, strict_mode=True)
    except ValueError as error:
        raise UpstreamProtocolError("The official API sent a broken sound.", retry="never") from error


async def _only(value: T) -> AsyncGenerator[T]:
    yield value


@asynccontextmanager
async def _begun(values: AsyncGenerator[T]) -> AsyncIterator[AsyncGenerator[T]]:
    """Wait for the first value, so that a refusal before it is a real status. Close the rest at the end."""
    async with aclosing(values), aclosing(_after(await anext(values), values)) as whole:
        yield whole


async def _after(first: T, rest: AsyncGenerator[T]) -> AsyncGenerator[T]:
    yield first
    async for value in rest:
        yield value
