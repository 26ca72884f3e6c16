from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from lib.errors import Overloaded, RequestTimeout, RequestTooLarge, UnsupportedEncoding
from lib.web.body import read_body
from lib.web.overload import Load, LoadLimits
from tests.unit.web.requests import make_request


async def test_a_body_is_read_whole() -> None:
    assert await read_body(make_request(b"ab", b"", b"cd"), limit=4) == b"abcd"
    assert await read_body(make_request(b""), limit=4) == b""


async def test_more_than_is_allowed_is_refused_where_it_is_noticed() -> None:
    with pytest.raises(RequestTooLarge, match="4 bytes"):
        await read_body(make_request(b"abc", b"de", b"never read"), limit=4)
    with pytest.raises(RequestTooLarge):
        await read_body(make_request(b"abc", b"de"), limit=4)
    with pytest.raises(RequestTooLarge):
        await read_body(make_request(headers=[("content-length", "5")]), limit=4)


async def test_a_body_that_is_too_large_is_refused_with_the_setting_and_a_way_out() -> None:
    with pytest.raises(RequestTooLarge) as caught:
        await read_body(make_request(headers=[("content-length", "9999999")]), limit=2_500_000)
    assert str(caught.value) == (
        "Expected a body of at most 2.5 MB (2500000 bytes), got a larger one. Send a large file by its "
        "address, not inside the body. MAX_BODY_BYTES sets the limit."
    )
    with pytest.raises(RequestTooLarge) as caught:
        await read_body(make_request(b"abc"), limit=2, setting="")
    assert "MAX_BODY_BYTES" not in str(caught.value)


@pytest.mark.parametrize("length", ["²", "-1", "x", "", "+2", "0x2", " 2"])
async def test_a_length_that_is_none_is_not_believed(length: str) -> None:
    assert await read_body(make_request(b"ab", headers=[("content-length", length)]), limit=4) == b"ab"


async def test_a_client_that_leaves_in_mid_body_is_told_apart() -> None:
    with pytest.raises(ClientDisconnect):
        await read_body(make_request(), limit=4)


@pytest.mark.parametrize("length", ["9" * 5000, "0" * 5000 + "1"])
async def test_a_length_of_thousands_of_digits_is_too_large_and_no_fault(length: str) -> None:
    with pytest.raises(RequestTooLarge):
        await read_body(make_request(b"a", headers=[("content-length", length)]), limit=4)


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "identity, gzip", "x"])
async def test_a_compressed_body_is_refused_and_not_read(encoding: str) -> None:
    request = make_request(b"ab", headers=[("content-encoding", encoding)])
    with pytest.raises(UnsupportedEncoding):
        await read_body(request, limit=4)
    assert await request.body() == b"ab", "still there"


@pytest.mark.parametrize("encoding", ["identity", " Identity ", ""])
async def test_what_says_that_it_is_not_compressed_is_taken(encoding: str) -> None:
    assert await read_body(make_request(b"ab", headers=[("content-encoding", encoding)]), limit=4) == b"ab"


# Room


def counted(load: Load, *bodies: bytes, length: int | None = None) -> Request:
    headers = [] if length is None else [("content-length", str(length))]
    request = make_request(*bodies, headers=headers)
    request.scope["glm_gateway.share"] = load.admit().__enter__()
    return request


LITTLE_ROOM = LoadLimits(max_body_bytes=10, small_body_bytes=2)


async def test_what_says_that_it_is_longer_than_the_room_is_refused_and_not_read() -> None:
    load = Load(LITTLE_ROOM)
    assert await read_body(counted(load, b"a" * 6, length=6), limit=8) == b"a" * 6
    assert load.body_bytes == 6
    request = counted(load, b"b" * 5, length=5)
    with pytest.raises(Overloaded):
        await read_body(request, limit=8)
    assert await request.body() == b"b" * 5, "nothing was read"
    assert load.body_bytes == 6


async def test_room_is_taken_as_it_comes_of_a_body_that_says_nothing() -> None:
    load = Load(LITTLE_ROOM)
    assert await read_body(counted(load, b"a" * 3, b"a" * 3), limit=8) == b"a" * 6
    with pytest.raises(Overloaded):
        await read_body(counted(load, b"b" * 4, b"b"), limit=8)


async def test_bodies_that_are_declared_and_do_not_come_take_no_room() -> None:
    load = Load(LITTLE_ROOM)
    silent = []
    for _ in range(8):
        request = drip([(0.0, b"a")])
        request.scope["headers"].append((b"content-length", b"8"))
        request.scope["glm_gateway.share"] = load.admit().__enter__()
        silent.append(asyncio.create_task(read_body(request, limit=8)))
    await asyncio.sleep(0.05)
    assert load.body_bytes == 8
    with pytest.raises(Overloaded):  # of what came, each byte counts
        await read_body(counted(load, b"b" * 3, length=3), limit=8)
    assert await read_body(counted(load, b"b" * 2, length=2), limit=8) == b"bb"
    for task in silent:
        task.cancel()
    await asyncio.wait(silent)


async def test_a_small_body_is_let_in_although_there_is_no_room() -> None:
    load = Load(LITTLE_ROOM)
    assert await read_body(counted(load, b"a" * 10), limit=10)
    assert await read_body(counted(load, b"b", b"b", length=2), limit=8) == b"bb"
    assert await read_body(counted(load, b"b", b"b"), limit=8) == b"bb"
    assert load.body_bytes == 14
    with pytest.raises(Overloaded):
        await read_body(counted(load, b"b", b"bb"), limit=8)


# Time


def drip(
    pieces: Iterable[tuple[float, bytes]], *, then: bytes | None = None, limits: LoadLimits | None = None
) -> Request:
    """Make a request whose body comes in these pieces, each after so many seconds; then its end, or never."""
    waiting = iter(pieces)

    async def receive() -> Message:
        for pause_s, piece in waiting:
            await asyncio.sleep(pause_s)
            return {"type": "http.request", "body": piece, "more_body": True}
        if then is None:
            return await asyncio.Future()
        return {"type": "http.request", "body": then, "more_body": False}

    request = Request({"type": "http", "method": "POST", "path": "/", "headers": []}, receive)
    if limits is not None:
        request.scope["glm_gateway.share"] = Load(limits).admit().__enter__()
    return request


@pytest.mark.parametrize("pieces", [[], [(0.0, b"abc")]], ids=["from the start", "in the middle"])
async def test_a_body_that_stops_is_given_up(pieces: list[tuple[float, bytes]]) -> None:
    async with asyncio.timeout(10):
        with pytest.raises(RequestTimeout, match=f"{3 if pieces else 0} bytes"):
            await read_body(drip(pieces, limits=LoadLimits(body_idle_s=0.1)), limit=100)


async def test_a_body_that_drips_is_given_up_although_it_never_stops() -> None:
    limits = LoadLimits(body_grace_s=0.2, min_body_bytes_per_s=1000)
    with pytest.raises(RequestTimeout):
        await read_body(drip(((0.01, b"a") for _ in range(300)), then=b"the end", limits=limits), limit=1000)


async def test_a_body_that_keeps_its_pace_may_take_its_time() -> None:
    limits = LoadLimits(body_grace_s=0.01, min_body_bytes_per_s=1)
    clock = asyncio.get_running_loop().time
    began_at = clock()
    pieces = [(0.02, b"a" * 10)] * 5
    request = drip([(0.0, b"a" * 10), *pieces], then=b"z", limits=limits)
    assert await read_body(request, limit=100) == b"a" * 60 + b"z"
    assert clock() - began_at > 0.05, "longer than the grace by far"
