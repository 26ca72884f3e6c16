from __future__ import annotations

import pytest
from starlette.requests import ClientDisconnect

from lib.errors import RequestTooLarge
from lib.web.body import read_body
from tests.lib.web.requests import make_request


async def test_a_body_is_read_whole() -> None:
    assert await read_body(make_request(b"ab", b"", b"cd"), limit=4) == b"abcd"
    assert await read_body(make_request(b""), limit=4) == b""


async def test_more_than_is_allowed_is_refused_where_it_is_noticed() -> None:
    with pytest.raises(RequestTooLarge, match="4 bytes"):
        await read_body(make_request(b"abc", b"de", b"never read"), limit=4)
    with pytest.raises(RequestTooLarge):
        await read_body(make_request(headers=[("content-length", "5")]), limit=4)


@pytest.mark.parametrize("length", ["²", "-1", "x", ""])
async def test_a_length_that_is_none_is_not_believed(length: str) -> None:
    assert await read_body(make_request(b"ab", headers=[("content-length", length)]), limit=4) == b"ab"


async def test_a_client_that_leaves_in_mid_body_is_told_apart() -> None:
    with pytest.raises(ClientDisconnect):
        await read_body(make_request(), limit=4)
