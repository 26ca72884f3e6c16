"""audio/transcriptions and audio/speech (official.md §6)."""

from __future__ import annotations

import base64
import struct
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from simulator.records import Call
from simulator.steps import Json, Reply, Step, cut

from .chats import Stream
from .chunks import DONE, encode_chunk
from .errors import Refused
from .gate import Answer, body_of
from .state import Key, OfficialState
from .table import VOICES

MAX_AUDIO_BYTES = 25 * 1024 * 1024
MAX_SPEECH = 1024
MAX_HOTWORDS = 100
RATE = 24_000
_ASR = "glm-asr-2512"


def transcriptions(state: OfficialState, call: Call, key: Key) -> Answer:
    """Say the file's name, size and hash: so a test knows that the bytes arrived."""
    form = body_of(call)
    file = form.get("file")
    if form.get("model") != _ASR:
        raise Refused("1211")
    state.charge(key, is_free=False)
    if not isinstance(file, dict):
        raise Refused("1213", "file")
    if file["size"] > MAX_AUDIO_BYTES or not file["file_name"].lower().endswith((".wav", ".mp3")):
        raise Refused("1214", "file: wav or mp3, at most 25 MB")
    for name in sorted(
        set(form) - {"file", "model", "prompt", "hotwords", "stream", "request_id", "user_id"}
    ):
        state.note(f"audio/transcriptions: unknown field {name}")
    words = f"You sent {file['file_name']}, {file['size']} bytes, {file['sha256'][:12]}. 你好。"
    base: Json = {"id": uuid.uuid4().hex, "created": int(time.time()), "model": _ASR}
    if str(form.get("stream", "false")).lower() == "true":
        return Stream(_spoken(base, words), state=state, stack=ExitStack())
    return Reply(200, base | {"request_id": base["id"], "text": words})


def _spoken(base: Json, words: str) -> Iterator[Step]:
    for piece in cut(words):
        yield encode_chunk(base | {"type": "transcript.text.delta", "delta": piece})
    yield encode_chunk(base | {"type": "transcript.text.done", "text": words})
    yield DONE


def speech(state: OfficialState, call: Call, key: Key) -> Answer:
    body = body_of(call)
    if body.get("model") != "glm-tts" or state.region == "zai":
        raise Refused("1211")
    state.charge(key, is_free=False)
    for code, detail in _wrong_speech(body):
        raise Refused(code, detail)
    sound = make_sound(body["input"])
    if body.get("stream"):
        return Stream(_sounding(sound, body.get("encode_format", "base64")), state=state, stack=ExitStack())
    if body.get("response_format", "wav") == "pcm":
        return Reply(200, sound, "audio/pcm")
    return Reply(200, wav_of(sound), "audio/wav")


def _wrong_speech(body: Json) -> Iterator[tuple[str, str]]:
    text = body.get("input")
    if not isinstance(text, str) or not 0 < len(text) <= MAX_SPEECH:
        yield "1214", f"input: at most {MAX_SPEECH} characters"
    if body.get("voice", "tongtong") not in VOICES:
        yield "1214", f"voice must be one of {', '.join(VOICES)}"
    if body.get("response_format", "wav") not in ("wav", "pcm"):
        yield "1214", "response_format must be wav or pcm"
    if body.get("stream") and body.get("response_format") != "pcm":
        yield "1215", "stream needs response_format pcm"
    for name, low, high in (("speed", 0.5, 2), ("volume", 0, 10)):
        value: Any = body.get(name, 1)
        if not isinstance(value, int | float) or not low <= value <= high:
            yield "1214", f"{name} must be in [{low}, {high}]"


def make_sound(text: str) -> bytes:
    """Make 16-bit samples, ten for each character, the same for the same text."""
    return b"".join(struct.pack("<h", ord(character) % 3000 - 1500) * 10 for character in text)


def wav_of(samples: bytes) -> bytes:
    head = struct.pack(
        "<4sI4s4sIHHIIHH", b"RIFF", 36 + len(samples), b"WAVE", b"fmt ", 16, 1, 1, RATE, RATE * 2, 2, 16
    )
    return head + struct.pack("<4sI", b"data", len(samples)) + samples


def _sounding(sound: bytes, encoding: str) -> Iterator[Step]:
    for start in range(0, len(sound), 200):
        piece = sound[start : start + 200]
        text = piece.hex() if encoding == "hex" else base64.b64encode(piece).decode()
        delta = {"role": "assistant", "content": text, "return_sample_rate": RATE}
        yield encode_chunk({"choices": [{"index": 0, "delta": delta}], "model": "glm-tts"})
    yield encode_chunk({"choices": [{"index": 0, "finish_reason": "stop"}], "model": "glm-tts"})
    yield DONE
