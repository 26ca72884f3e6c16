"""Forms, cut anywhere; and what is none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import pytest
from starlette.requests import Request

from lib.errors import InvalidRequest, RequestTimeout, RequestTooLarge, UnsupportedEncoding
from lib.web.form import MAX_FIELDS, Form, read_form
from lib.web.overload import Load, LoadLimits

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


# Bombs

FORM = "multipart/form-data; boundary=b"
HEAD = b'--b\r\nContent-Disposition: form-data; name="x"'


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (HEAD + b"\r\nX-More: 1" * 20 + b"\r\n\r\n1\r\n--b--\r\n", RequestTooLarge),
        (HEAD + b'; filename="' + b"a" * 1_000_000 + b'"\r\n\r\n1\r\n--b--\r\n', RequestTooLarge),
        (b"--b\r\nContent-Disposition: " + b"a" * 1_000_000, RequestTooLarge),  # never ends
        (HEAD + b"\r\n " + b"a" * 1_000_000, RequestTooLarge),
        ((HEAD + b"\r\n\r\n\r\n") * 5000 + b"--b--\r\n", RequestTooLarge),
        (b"a" * 100_000, InvalidRequest),
        (HEAD + b"\r\n\r\n1\r\n--b", InvalidRequest),
        (HEAD + b"\r\n\r\n1", InvalidRequest),
        (HEAD, InvalidRequest),
        (b"--b\r\n\r\n1\r\n--b--\r\n", InvalidRequest),
        (b'--b\r\nContent-Disposition: attachment; filename="x"\r\n\r\n1\r\n--b--\r\n', InvalidRequest),
        (b'--b\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n1\r\n--b--\r\n', InvalidRequest),
    ],
    ids=[
        "many headers", "a long file name", "an endless header", "a long continuation", "many fields",
        "no boundary at all", "no last dashes", "no end", "headers only", "no headers", "no form-data",
        "no UTF-8",
    ],
)  # fmt: skip
@pytest.mark.parametrize("step", [7, 65536])
async def test_a_form_that_is_a_trap_is_refused(body: bytes, kind: type[InvalidRequest], step: int) -> None:
    pieces = [body[place : place + step] for place in range(0, len(body), step)]
    with pytest.raises(InvalidRequest) as caught:
        await read(pieces, FORM, limit=10_000_000)
    assert type(caught.value) is kind
    assert "xff" not in caught.value.message, "what came is not quoted"
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    "content_type",
    [
        'multipart/form-data; boundary="' + "b" * 60_000 + '"',
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        'multipart/form-data; boundary="b',
        "multipart/form-data; boundary=猫",
        "multipart/form-data;" + "; " * 30_000,
        "multipart/form-data" + '; a="' * 12_000,
    ],
)
async def test_a_boundary_that_is_a_trap_is_refused(content_type: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await read([HEAD + b"\r\n\r\n1\r\n--b--\r\n"], content_type)
    assert caught.value.code == "invalid_form"


async def test_a_boundary_is_no_longer_than_the_standard_allows() -> None:
    form = 'Content-Disposition: form-data; name="x"'
    for boundary in ("b" * 70, "b" * 71):
        body = f"--{boundary}\r\n{form}\r\n\r\n1\r\n--{boundary}--\r\n".encode()
        reading = read([body], f"multipart/form-data; boundary={boundary}")
        if len(boundary) == 70:
            with await reading as found:
                assert found.texts == {"x": "1"}
        else:
            with pytest.raises(InvalidRequest, match="boundary is longer"):
                await reading


async def test_a_form_within_a_form_is_a_text() -> None:
    inner = b'--c\r\nContent-Disposition: form-data; name="y"\r\n\r\n2\r\n--c--'
    body = HEAD + b"\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n" + inner + b"\r\n--b--\r\n"
    with await read([body], FORM) as form:
        assert form.texts == {"x": inner.decode()}


async def test_of_several_files_of_one_name_the_last_counts() -> None:
    file = b'--b\r\nContent-Disposition: form-data; name="x"; filename="%d"\r\n\r\n%d\r\n'
    with await read([file % (1, 1) + file % (2, 2) + b"--b--\r\n"], FORM) as form:
        assert form.files["x"].read() == b"2"
    assert form.files["x"].closed


async def test_a_field_without_a_name_is_nobodys() -> None:
    with await read([b"--b\r\nContent-Disposition: form-data\r\n\r\n1\r\n--b--\r\n"], FORM) as form:
        assert form.texts == {"": "1"}


async def test_the_name_of_a_file_is_not_a_path() -> None:
    for name in (b"../../etc/passwd", b"/etc/passwd", b"C:\\\\x", b"a\x00b", b"%0d%0a"):
        body = b'--b\r\nContent-Disposition: form-data; name="x"; filename="%b"\r\n\r\n1\r\n--b--\r\n'
        with await read([body % name], FORM) as form:
            assert form.files["x"].read() == b"1"
            assert form.texts == {}


async def test_a_form_is_slow_or_compressed_as_any_body() -> None:
    headers = [(b"content-type", FORM.encode()), (b"content-encoding", b"gzip")]

    async def never() -> Any:
        return await asyncio.Future()

    with pytest.raises(UnsupportedEncoding):
        await read_form(Request({"type": "http", "headers": headers}, never), limit=100)
    impatient = Load(LoadLimits(body_idle_s=0.01))
    with impatient.admit() as share:
        scope = {"type": "http", "headers": headers[:1], "glm_gateway.share": share}
        with pytest.raises(RequestTimeout):
            await read_form(Request(scope, never), limit=100)
