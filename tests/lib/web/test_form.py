"""Forms, cut anywhere; and what is none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import pytest
from starlette.requests import Request

from lib.errors import InvalidRequest, RequestTooLarge
from lib.web.form import MAX_FIELDS, Form, read_form

BODY = (
    b"--b\r\n"
    b'Content-Disposition: form-data; name="prompt"\r\n\r\n'
    b"a cat \xe7\x8c\xab\r\n"
    b"--b\r\n"
    b'Content-Disposition: form-data; name="input_reference"; filename="a.png"\r\n'
    b"Content-Type: image/png\r\n\r\n"
    b"\x89PNG\r\n--not the boundary\r\n\r\n"
    b"\r\n--b--\r\n"
)


def request_of(pieces: Iterable[bytes], content_type: str = "multipart/form-data; boundary=b") -> Request:
    waiting = [*pieces, b""]

    async def receive() -> Any:
        piece = waiting.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(waiting)}

    headers = [(b"content-type", content_type.encode())] if content_type else []
    return Request({"type": "http", "method": "POST", "headers": headers, "path": "/"}, receive)


async def read(
    pieces: Iterable[bytes], content_type: str = "multipart/form-data; boundary=b", limit: int = 10_000
) -> Form:
    return await read_form(request_of(pieces, content_type), limit=limit)


async def test_a_form_is_read_however_it_is_cut() -> None:
    for cut in range(len(BODY)):
        with await read([BODY[:cut], BODY[cut:]]) as form:
            assert form.json is None
            assert form.texts == {"prompt": "a cat 猫"}
            assert form.files["input_reference"].read() == b"\x89PNG\r\n--not the boundary\r\n\r\n"
        assert form.files["input_reference"].closed


async def test_a_form_is_read_byte_by_byte() -> None:
    with await read(BODY[position : position + 1] for position in range(len(BODY))) as form:
        assert form.texts == {"prompt": "a cat 猫"}
        assert form.files["input_reference"].read() == b"\x89PNG\r\n--not the boundary\r\n\r\n"


@pytest.mark.parametrize("content_type", ["", "application/json", "text/plain"])
async def test_whatever_else_is_taken_for_json(content_type: str) -> None:
    with await read([b'{"prompt":', b'"x"}'], content_type) as form:
        assert json.loads(form.json or b"") == {"prompt": "x"}


@pytest.mark.parametrize("cut", [0, 3, 20, 60, len(BODY) - 20])
async def test_a_form_that_ends_early_is_invalid(cut: int) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await read([BODY[:cut]])
    assert caught.value.code == "invalid_form"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (BODY, "multipart/form-data"),
        (BODY, "multipart/form-data; boundary=other"),
        (BODY.replace(b"\xe7\x8c\xab", b"\xff"), "multipart/form-data; boundary=b"),
        (BODY.replace(b"form-data", b"attachment"), "multipart/form-data; boundary=b"),
    ],
)
async def test_what_is_no_form_is_invalid(body: bytes, content_type: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await read([body], content_type)
    assert caught.value.code == "invalid_form"


async def test_every_limit_is_a_413() -> None:
    field = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n%b\r\n'
    for body, limit in (
        (BODY, 100),
        (field % b"1" * (MAX_FIELDS + 1) + b"--b--\r\n", 100_000),
        (field % (b"1" * (1024 * 1024 + 1)) + b"--b--\r\n", 10_000_000),
        (BODY.replace(b"Content-Type: ", b"Content-Type: " + b"x" * 9000), 100_000),
    ):
        with pytest.raises(RequestTooLarge):
            await read([body], limit=limit)


async def test_who_leaves_in_mid_form_leaves_no_file_behind() -> None:
    async def receive() -> Any:
        if not sent:
            sent.append(True)
            return {"type": "http.request", "body": BODY[:-30], "more_body": True}
        raise asyncio.CancelledError

    sent: list[bool] = []
    headers = [(b"content-type", b"multipart/form-data; boundary=b")]
    request = Request({"type": "http", "method": "POST", "headers": headers, "path": "/"}, receive)
    with pytest.raises(asyncio.CancelledError):
        await read_form(request, limit=10_000)
