from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request

from lib.web.address import own_address


def address(headers: dict[str, str] | None = None, **scope: Any) -> str:
    sent = {"host": "gateway.example", **(headers or {})}
    raw = [(name.encode(), value.encode()) for name, value in sent.items()]
    return own_address(
        Request({"type": "http", "scheme": "http", "path": "/", "query_string": b"", "headers": raw, **scope})
    )


def test_the_address_is_the_one_that_was_asked() -> None:
    assert address() == "http://gateway.example"
    assert address({"host": "127.0.0.1:8000"}) == "http://127.0.0.1:8000"
    assert address(scheme="https") == "https://gateway.example"


def test_tls_that_ended_before_us_is_named() -> None:
    assert address({"x-forwarded-proto": "https, http"}) == "https://gateway.example"
    assert address({"x-forwarded-proto": "javascript"}) == "http://gateway.example"


@pytest.mark.parametrize(
    ("path", "outside", "stage"),
    [
        ("/", "/prod/", "/prod"),
        ("/", "/", ""),
        ("/", None, ""),
        ("/openapi.json", "/prod/openapi.json", "/prod"),
    ],
)
def test_the_stage_of_api_gateway_is_named(path: str, outside: str | None, stage: str) -> None:
    event = {"requestContext": {"path": outside}}
    assert address(None, path=path, **{"aws.event": event}) == f"http://gateway.example{stage}"


@pytest.mark.parametrize("host", ["[", "a b", "x:y:z", "/", ""])
def test_a_host_that_no_address_can_be_made_of_breaks_nothing(host: str) -> None:
    assert address({"host": host}) == f"http://{host}"


def test_without_a_host_there_is_still_an_address() -> None:
    bare = {"type": "http", "path": "/", "query_string": b"", "headers": []}
    assert own_address(Request(bare)) == "http://localhost"
