"""Checks of what reads the clients' words: a value that can be rendered, or a 4xx that names the fault."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random
from typing import Any, TypeVar
from zlib import crc32

import msgspec
from starlette.requests import Request
from starlette.types import Message as AsgiMessage

from lib.chat import usage
from lib.chat.answer import Answer
from lib.chat.caller import Caller
from lib.chat.events import Finished, ReplyEvent, Started, TextDelta
from lib.chat.request import ChatRequest
from lib.dialects.interface import Address, Rendering
from lib.dialects.openai_chat import render, renderer
from lib.dialects.openai_chat_request import parse as parse_chat
from lib.dialects.openai_media import parse_image_request
from lib.dialects.openai_videos import parse_creation, parse_generation, parse_variant
from lib.dialects.token_check import parse_token
from lib.dialects.tokens import parse_new_token
from lib.errors import GatewayError, InvalidRequest
from lib.settings import Settings
from lib.upstreams.chatglm import prompt as prompt_of
from lib.upstreams.chatglm.accounts.account import parse_account
from lib.upstreams.chatglm.videos.ids import unseal
from lib.upstreams.chatglm.wire.models import resolve
from lib.upstreams.chatglm.wire.protocol import chat_body
from lib.web.caller import credential_of
from lib.web.deadline import deadline_of
from lib.web.form import Form, read_form
from tests.fuzz.upstream import check_message

LIMIT = 64 * 1024

T = TypeVar("T")
HOW = Rendering(created=1, model="m")


def accepted(parse: Callable[[], T]) -> T | None:
    """Return what is parsed; None where it was refused as a client's mistake."""
    try:
        return parse()
    except InvalidRequest as error:
        _check_error(error)
        return None


def _check_error(error: GatewayError) -> None:
    assert 400 <= error.status < 500
    check_message(error)


def chat(data: bytes) -> None:
    parsed = accepted(lambda: parse_chat(data, Address()))
    if parsed is None:
        return
    asked = parsed.chat
    _check_prompt(asked)
    target = resolve(asked, known=("glm-5.3",), default_model="glm-5.3", default_web_search=False)
    prompt = prompt_of.merge(asked.messages)
    json.loads(chat_body(prompt, target, assistant_id="a", conversation_id=asked.conversation_id or ""))
    told: list[ReplyEvent] = [Started("a", "glm"), TextDelta("Hello."), Finished("stop")]
    json.loads(render(parsed, Answer(told), HOW))
    renderer(parsed, HOW).feed(told)


def _check_prompt(asked: ChatRequest) -> None:
    assert asked.messages
    assert usage.prompt_tokens(asked.messages) >= 0
    prompt_of.attachments(asked.messages)
    new = accepted(lambda: prompt_of.new_messages(asked.messages))
    if new is not None:
        assert 0 < len(new) <= len(asked.messages)
        prompt_of.merge(new)


def images(data: bytes) -> None:
    asked = accepted(lambda: parse_image_request(data))
    assert asked is None or (1 <= asked.n <= 10 and asked.prompt.strip())
    assert asked is None or asked.ratio is None or asked.ratio > 0
    msgspec.json.encode(asked)


def videos(data: bytes) -> None:
    for parse in (
        lambda: parse_generation(data),
        lambda: parse_creation(data, {}, has_file=False),
        lambda: parse_creation(None, fields_of(data), has_file=False),
    ):
        asked = accepted(parse)
        assert asked is None or len(asked.model.encode()) <= 64
        msgspec.json.encode(asked)
    accepted(lambda: parse_variant(data.decode("utf-8", "replace")))


def fields_of(data: bytes) -> dict[str, str]:
    """Read the input as the fields of a form: a name, a line end, a value, an empty line."""
    pairs = (record.partition("\n") for record in data.decode("utf-8", "replace").split("\n\n"))
    return {name: value for name, _, value in pairs}


def token_check(data: bytes) -> None:
    token = accepted(lambda: parse_token(data))
    assert token is None or token.strip()
    added = accepted(lambda: parse_new_token(data))
    assert added is None or added == added.strip() != ""


def form(data: bytes) -> None:
    """The first line is the Content-Type, the rest the body, which comes in pieces."""
    content_type, _, body = data.partition(b"\n")
    told = [_form(content_type, body, pieces) for pieces in (1, 4, 40)]
    taken = [fields for fields in told if not isinstance(fields, int)]  # of nonsense, some may be refused
    assert all(fields == taken[0] for fields in taken), "the pieces make a difference"


def _form(content_type: bytes, body: bytes, pieces: int) -> Any:
    chance = Random(crc32(body) + pieces)
    cuts = sorted({0, len(body), *(chance.randint(0, len(body)) for _ in range(pieces - 1))})
    chunks = [body[start:end] for start, end in pairwise(cuts)] or [b""]
    request = _request([(b"content-type", content_type)], chunks)
    try:
        read = asyncio.run(read_form(request, limit=LIMIT))
    except InvalidRequest as error:
        _check_error(error)
        return error.status
    with read:
        return _contents(read)


def _contents(read: Form) -> Any:
    files = {name: file.read() for name, file in read.files.items()}
    accepted(lambda: parse_creation(read.json, read.texts, has_file=bool(files)))
    return read.json, read.texts, files


def headers(data: bytes) -> None:
    """Lines are headers; what they say is read, or counts for nothing."""
    raw = [_header(line) for line in data.split(b"\n")]
    request = _request(raw, [b""])
    credential_of(request)
    deadline = asyncio.run(_deadline(request))
    assert deadline is None or isinstance(deadline, float)


async def _deadline(request: Request) -> float | None:
    return deadline_of(request, Settings.from_env({"AWS_LAMBDA_FUNCTION_NAME": "f"}))


def _header(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name.strip().lower(), value.strip()


def _request(raw: Sequence[tuple[bytes, bytes]], chunks: list[bytes]) -> Request:
    messages: list[AsgiMessage] = [
        {"type": "http.request", "body": chunk, "more_body": number < len(chunks)}
        for number, chunk in enumerate(chunks, 1)
    ]
    left = iter(messages)

    async def receive() -> AsgiMessage:
        return next(left)

    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": list(raw)}
    return Request(scope, receive)


_ACCOUNT = parse_account("a.b.c")


def video_id(data: bytes) -> None:
    """No id that we did not make opens anything."""
    caller = Caller(("a.b.c",), is_owner=False)
    assert unseal(data.decode("utf-8", "replace"), caller, (_ACCOUNT,)) is None
