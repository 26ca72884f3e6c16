"""Files within the request."""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import InvalidRequest, RequestTooLarge
from lib.files.fetcher import Fetcher, FetchLimits, decode_base64_file
from lib.files.inline import STEP_CHARACTERS, is_data_url
from lib.files.spool import SPOOL_BYTES
from tests.support.waiting import eventually

LARGE = os.urandom(2 * SPOOL_BYTES)
LIMIT = 4 * SPOOL_BYTES


def decoded(data: str, name: str | None = None) -> tuple[bytes, str, str]:
    with decode_base64_file(data, name=name, max_bytes=LIMIT) as file:
        return file.file.read(), file.content_type, file.name


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("data", "content", "content_type", "name"),
    [
        ("aGVsbG8=", b"hello", "", "file"),
        ("aGVsbG8", b"hello", "", "file"),
        ("  aGVs\r\n bG8=\n", b"hello", "", "file"),
        ("aGVsbG8hIQ==", b"hello!!", "", "file"),
        ("-_-_", b"\xfb\xff\xbf", "", "file"),
        ("data:image/PNG;base64,aGVsbG8=", b"hello", "image/png", "file"),
        ("DATA:;BASE64,aGVsbG8=", b"hello", "", "file"),
        ("data:text/plain;charset=utf-8;name=a%20b.txt;base64,aGVsbG8=", b"hello", "text/plain", "a b.txt"),
        ("data:,hel%6Co%2c%20w", b"hello, w", "", "file"),
        ("data:text/plain,100%", b"100%", "text/plain", "file"),
        ("data:text/plain,你好", "你好".encode(), "text/plain", "file"),
    ],
)
def test_every_form(data: str, content: bytes, content_type: str, name: str) -> None:
    assert decoded(data) == (content, content_type, name)


def test_a_given_name_wins() -> None:
    assert decoded("data:;name=x.txt;base64,aGVsbG8=", "../y.txt")[2] == "y.txt"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("", "empty"),
        ("data:,", "empty"),
        ("=", "empty"),
        ("data:;base64", "no comma"),
        ("data:" + "x" * 2000 + ",a", "no comma"),
        ("a", "not valid base64"),
        ("a===", "not valid base64"),
        ("ab=c", "not valid base64"),
        ("aGVsbG8=aGVsbG8=", "not valid base64"),
        ("aGVs*bG8", "not valid base64"),
        ("aGVsbG8ö", "not valid base64"),
        ("data:;base64,data:;base64,aaaa", "not valid base64"),
    ],
)
def test_what_is_no_file(data: str, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words) as refused:
        decoded(data)
    assert refused.value.code == "invalid_file"


@pytest.mark.parametrize("extra", range(-4, 5))
def test_pieces_are_cut_nowhere_wrong(extra: int) -> None:
    data = LARGE[: STEP_CHARACTERS // 4 * 3 + extra]
    assert decoded(b64(data))[0] == data
    wrapped = base64.encodebytes(LARGE[: STEP_CHARACTERS + extra]).decode()
    assert decoded(wrapped)[0] == LARGE[: STEP_CHARACTERS + extra]
    escaped = "data:," + "".join(f"%{byte:02x}" for byte in data[:50_000])
    for start in range(3):
        assert decoded(escaped.replace(",", "," + "x" * start))[0] == b"x" * start + data[:50_000]


@given(st.binary(min_size=1), st.sampled_from(["", " ", "\n"]))
def test_it_agrees_with_the_standard_library(data: bytes, space: str) -> None:
    assert decoded(space.join(b64(data)))[0] == data


@given(st.text(alphabet="aZ9+/=-_ \n", max_size=20))
def test_nothing_else_is_raised(data: str) -> None:
    try:
        got = decoded(data)[0]
    except InvalidRequest:
        return
    bare = "".join(data.split()).rstrip("=").translate(str.maketrans("-_", "+/"))
    assert got == binascii.a2b_base64(bare + "=" * (-len(bare) % 4))


@pytest.mark.parametrize("data", [b64(LARGE), "data:," + "x" * len(LARGE)])
def test_too_large_is_found_on_the_way(data: str) -> None:
    with pytest.raises(RequestTooLarge):
        decode_base64_file(data, name=None, max_bytes=len(LARGE) - 1)


def test_what_is_a_data_url() -> None:
    assert is_data_url("Data:x")
    assert not is_data_url("https://data:x/")


@pytest.mark.anyio
@pytest.mark.parametrize("content", [b"small", LARGE])
async def test_the_fetcher_takes_them_too(content: bytes) -> None:
    fetcher = Fetcher(allow_hosts=(), limits=FetchLimits(connect_s=1, idle_s=1))
    async with fetcher.fetch(f"data:;base64,{b64(content)}", max_bytes=LIMIT) as file:
        assert file.file.read() == content
    assert file.file.closed


@pytest.mark.anyio
async def test_a_large_one_that_nobody_waits_for_any_more_is_closed(opened_files: list[Any]) -> None:
    fetcher = Fetcher(allow_hosts=(), limits=FetchLimits(connect_s=1, idle_s=1))

    async def fetch(url: str) -> None:
        async with fetcher.fetch(url, max_bytes=LIMIT):
            pass

    for url in (f"data:;base64,{b64(LARGE)}", f"data:;base64,{b64(LARGE)}*"):
        opened_files.clear()
        task = asyncio.create_task(fetch(url))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        await eventually(lambda: opened_files and opened_files[0].closed)
