"""Calls of the official API that are no chats: their time, odd answers, what a missing key is told."""

from __future__ import annotations

import asyncio
from io import BytesIO
from typing import Any

import pytest

from lib.chat.audio import SpeechRequest, TranscriptDone, TranscriptEvent, TranscriptionRequest
from lib.chat.caller import Caller
from lib.chat.request import ChatRequest, Message, TextPart
from lib.chat.vectors import EmbeddingRequest, RankingRequest
from lib.errors import (
    GatewayError,
    InvalidRequest,
    NotFound,
    UpstreamProtocolError,
    UpstreamTimeout,
)
from lib.upstreams.official import names, tokenizer
from lib.upstreams.official.events import chunks_of
from lib.upstreams.official.sounds import OfficialSounds
from lib.upstreams.official.tokenizer import Tokenizer
from lib.upstreams.official.vectors import OfficialVectors
from simulator.official.errors import error_body
from tests.unit.upstreams.official.media.conftest import Stand

WORDS = EmbeddingRequest(inputs=("a",))


async def test_a_call_ends_before_the_host_ends_the_request(stand: Stand) -> None:
    stand.official.fail("embeddings", delay_s=5.0)
    with pytest.raises(UpstreamTimeout):
        await OfficialVectors(stand.gateway).embed(WORDS, stand.call(left_s=0.3))


@pytest.mark.parametrize("places", [(1,), (-1,), (0, 0)])
async def test_a_ranking_of_documents_that_were_not_sent_is_an_error(
    stand: Stand, places: tuple[int, ...]
) -> None:
    body = {"results": [{"index": place, "relevance_score": 0.5} for place in places]}
    stand.official.fail("rerank", status=200, body=body)
    with pytest.raises(UpstreamProtocolError, match="not sent"):
        await OfficialVectors(stand.gateway).rank(RankingRequest(query="q", documents=("d",)), stand.call())


@pytest.mark.parametrize("body", [b"[]", b'{"data": 1}', b'{"data": [{"index": 0}]}', b"\xff{", b"[" * 9999])
async def test_an_answer_in_another_form_is_an_error(stand: Stand, body: bytes) -> None:
    stand.official.fail("embeddings", status=200, body=body)
    with pytest.raises(GatewayError) as caught:
        await OfficialVectors(stand.gateway).embed(WORDS, stand.call())
    assert caught.value.status == 502


class Stream:
    """A stream that gives its pieces, and then says nothing, or ends."""

    def __init__(self, *pieces: bytes, hangs: bool = False) -> None:
        self._pieces = list(pieces)
        self._hangs = hangs

    async def read(self, until: float | None = None) -> bytes:
        if self._pieces:
            return self._pieces.pop(0)
        if self._hangs:
            async with asyncio.timeout_at(until):
                await asyncio.Future()
        return b""


async def read_all(stand: Stand, stream: Stream, **more: Any) -> list[dict[str, Any]]:
    given: Any = stream
    return [chunk async for chunk in chunks_of(given, stand.call(**more))]


async def test_events_are_read_until_their_end(stand: Stand) -> None:
    assert await read_all(stand, Stream(b'data: {"a":1}\n\nda', b"ta: 2\n\ndata: [DONE]\n\n")) == [
        {"a": 1},
        {},
    ]


async def test_a_silent_stream_is_given_up(stand: Stand) -> None:
    stand.flow.configure(first_content_timeout_s=9.0, idle_timeout_s=0.05)
    with pytest.raises(UpstreamTimeout, match=r"0\.05 s"):
        await read_all(stand, Stream(b'data: {"a":1}\n\n', hangs=True))
    stand.flow.configure(first_content_timeout_s=0.05)
    with pytest.raises(UpstreamTimeout, match=r"0\.05 s"):
        await read_all(stand, Stream(hangs=True))


async def test_a_stream_ends_before_the_host_ends_the_request(stand: Stand) -> None:
    with pytest.raises(UpstreamTimeout):
        await read_all(stand, Stream(hangs=True), left_s=0.1)


async def test_unknown_events_of_a_transcript_are_passed_over(stand: Stand) -> None:
    body = (
        'data: {"type":"transcript.text.segment"}\n\ndata: {"type":"transcript.text.delta","delta":"a"}\n\n'
        'data: {"type":"transcript.text.done"}\n\ndata: [DONE]\n\n'
    )
    assert (await transcript_of(stand, body))[-1] == TranscriptDone("a")


async def transcript_of(stand: Stand, body: str) -> list[TranscriptEvent]:
    stand.official.fail("audio/transcriptions", status=200, body=body, content_type="text/event-stream")
    opened = OfficialSounds(stand.gateway).open_transcript(
        TranscriptionRequest(file_name="a.wav", stream=True), BytesIO(b"x"), stand.call()
    )
    async with opened as transcript:
        return [event async for event in transcript.events]


async def test_a_silent_recording_has_an_empty_text(stand: Stand) -> None:
    body = 'data: {"type":"transcript.text.done"}\n\ndata: [DONE]\n\n'
    assert await transcript_of(stand, body) == [TranscriptDone("")]


async def test_a_transcript_that_ends_without_a_word_or_its_last_event_is_an_error(stand: Stand) -> None:
    with pytest.raises(UpstreamProtocolError, match="without a text"):
        await transcript_of(stand, "data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"null", "application/json"),
        (b'data: {"a":1}\n\ndata: [DONE]\n\n', "text/event-stream"),
        (b"<html>", "text/html"),
        (b"", "audio/wav"),
    ],
)
async def test_a_speech_is_a_sound_or_an_error(stand: Stand, body: bytes, content_type: str) -> None:
    stand.official.fail("audio/speech", status=200, body=body, content_type=content_type)
    with pytest.raises(UpstreamProtocolError):
        async with OfficialSounds(stand.gateway).open_speech(SpeechRequest(text="Hello"), stand.call()):
            pytest.fail("a sound was expected")


async def test_a_speech_that_is_left_early_gives_its_place_back(stand: Stand) -> None:
    sounds = OfficialSounds(stand.gateway)
    for _ in range(9):  # More than a gate lets in at once.
        async with sounds.open_speech(SpeechRequest(text="Hello " * 99, form="pcm"), stand.call()) as speech:
            assert await anext(aiter(speech.pieces))


# Names


@pytest.mark.parametrize(
    ("caller", "words"),
    [
        (Caller((), is_owner=True), "The gateway's owner sets GLM_API_KEYS"),
        (Caller(("token",), is_owner=False), "Send your own key"),
    ],
)
def test_a_missing_key_is_told_to_whom_it_concerns(caller: Caller, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words) as caught:
        names.require_key(caller, "embedding-3")
    assert caught.value.code == "official_key_missing"
    with pytest.raises(NotFound, match=words):
        names.require_key(caller, "api/embedding-3")


# Counting


def chat(model: str = "glm-4.6") -> ChatRequest:
    return ChatRequest(model=model, messages=(Message("user", (TextPart("Hello, world!"),)),))


async def test_a_prompt_that_is_too_long_for_the_tokenizer_is_not_asked_again(stand: Stand) -> None:
    stand.official.fail("tokenizer", status=400, body=error_body("1261"))
    now = [0.0]
    counter = Tokenizer(stand.gateway, clock=lambda: now[0])
    assert await counter.count(chat(), stand.call()) is None
    assert len(stand.official.calls_to("tokenizer")) == 1
    assert await counter.count(chat(), stand.call()) is None
    now[0] = tokenizer.REST_S
    assert await counter.count(chat(), stand.call()) == 4


async def test_made_up_names_take_no_memory(stand: Stand) -> None:
    counter = Tokenizer(stand.gateway, max_unknown=1)
    for name in ("api/a", "api/b", "api/b"):
        assert await counter.count(chat(name), stand.call()) == 4
    assert counter._unknown == {"a"}
