"""Answers that carry files: what is sent, and who does not take it."""

from __future__ import annotations

import asyncio
import base64
from contextlib import AsyncExitStack
from io import BytesIO

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message

from lib.web import pieces
from lib.web.media import Base64Response


class File:
    def __init__(self, content: bytes) -> None:
        self.file = BytesIO(content)
        self.size = len(content)


async def nothing() -> Message:
    raise AssertionError("nothing is read here")


def answer(file: File, closed: list[str]) -> Base64Response:
    resources = AsyncExitStack()
    resources.callback(closed.append, "closed")
    return Base64Response([b'{"file":"', b'"}'], [file], {}, resources=resources)


async def test_files_are_encoded_as_they_are_sent() -> None:
    content = bytes(range(256)) * 999
    closed: list[str] = []
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await answer(File(content), closed)({"type": "http"}, nothing, send)
    body = b"".join(message.get("body", b"") for message in sent)
    assert body == b'{"file":"' + base64.b64encode(content) + b'"}'
    assert (b"content-length", str(len(body)).encode()) in sent[0]["headers"]
    assert closed == ["closed"]


async def test_a_client_that_takes_no_files_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "SEND_TIMEOUT_S", 0.02)
    closed: list[str] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":  # all that its buffers hold
            await asyncio.Future()

    async with asyncio.timeout(10):
        with pytest.raises(ClientDisconnect):
            await answer(File(b"x"), closed)({"type": "http"}, nothing, send)
    assert closed == ["closed"]
