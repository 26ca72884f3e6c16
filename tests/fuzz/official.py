"""Checks of the official API: its answers, and the requests that it alone serves."""

from __future__ import annotations

import msgspec

from lib.chat.events import ReplyEvent
from lib.chat.vectors import MAX_DIMENSIONS
from lib.dialects.openai_audio import MAX_SPEECH_CHARS, parse_speech, parse_transcription
from lib.dialects.openai_embeddings import MAX_INPUTS, parse_embedding_request
from lib.dialects.rerank import MAX_DOCUMENTS, parse_ranking_request
from lib.errors import GatewayError
from lib.receiving import Answer
from lib.upstreams.official.decoder import Decoder
from lib.upstreams.official.wire import refusals
from tests.fuzz.clients import accepted, fields_of
from tests.fuzz.upstream import NOW, check_end, check_message, chunkings, without_identity


def embeddings(data: bytes) -> None:
    asked = accepted(lambda: parse_embedding_request(data))
    if asked is not None:
        assert 0 < len(asked.inputs) <= MAX_INPUTS
        assert 0 < asked.memory_bytes <= len(asked.inputs) * MAX_DIMENSIONS * 8
        msgspec.json.encode(asked)


def rerank(data: bytes) -> None:
    asked = accepted(lambda: parse_ranking_request(data))
    if asked is not None:
        assert 0 < len(asked.documents) <= MAX_DOCUMENTS
        assert asked.top_n is None or 0 < asked.top_n <= len(asked.documents)
        msgspec.json.encode(asked)


def audio(data: bytes) -> None:
    speech = accepted(lambda: parse_speech(data))
    assert speech is None or 0 < len(speech.text) <= MAX_SPEECH_CHARS
    msgspec.json.encode(speech)
    msgspec.json.encode(accepted(lambda: parse_transcription(fields_of(data), file_name="a.wav")))


def official(data: bytes) -> None:
    """One answer of the API: a stream however it is cut, or a refusal."""
    told = [[without_identity(event) for event in _decoded(chunks)] for chunks in chunkings(data)]
    assert all(events == told[0] for events in told), "the chunks make a difference"
    check_end(told[0] and _decoded([data]))
    for status in (200, 429, 500):
        try:
            refusals.check(Answer(status, "application/json", data), now=NOW)
        except GatewayError as error:
            check_message(error)


def _decoded(chunks: list[bytes]) -> list[ReplyEvent]:
    decoder = Decoder(now=NOW, may_box=True)
    told: list[ReplyEvent] = []
    for chunk in chunks:
        if not decoder.has_ended:
            told += decoder.feed(chunk)
    return told if decoder.has_ended else [*told, *decoder.end()]
