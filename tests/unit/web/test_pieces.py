"""Answers in pieces: what is sent, and a client that does not take it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message

from lib.web import pieces
from lib.web.pieces import PiecesResponse


async def nothing() -> Message:
    raise AssertionError("nothing is read here")


async def given(*values: bytes) -> AsyncIterator[bytes]:
    for value in values:
        yield value


def answer(values: AsyncIterator[bytes], closed: list[str]) -> PiecesResponse:
    resources = AsyncExitStack()
    resources.callback(closed.append, "closed")
    return PiecesResponse(values, {"x-a": "b"}, media_type="audio/pcm", resources=resources)


async def test_each_piece_is_sent_as_it_comes() -> None:
    closed: list[str] = []
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await answer(given(b"a", b"b"), closed)({"type": "http"}, nothing, send)
    assert [message.get("body") for message in sent[1:]] == [b"a", b"b", b""]
    assert b"content-length" not in dict(sent[0]["headers"])
    assert dict(sent[0]["headers"])[b"content-type"] == b"audio/pcm"
    assert closed == ["closed"]


async def test_a_client_that_takes_no_piece_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "SEND_TIMEOUT_S", 0.02)
    closed: list[str] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":  # all that its buffers hold
            await asyncio.Future()

    async with asyncio.timeout(10):
        with pytest.raises(ClientDisconnect):
            await answer(given(b"x"), closed)({"type": "http"}, nothing, send)
    assert closed == ["closed"]
