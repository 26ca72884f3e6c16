from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request

from lib.web.welcome import welcome_page


def page(headers: dict[str, str] | None = None, **scope: Any) -> str:
    sent = {"host": "gateway.example", **(headers or {})}
    raw = [(name.encode(), value.encode()) for name, value in sent.items()]
    request = Request(
        {"type": "http", "scheme": "http", "path": "/", "query_string": b"", "headers": raw, **scope}
    )
    return bytes(welcome_page(request).body).decode()


def test_the_page_names_the_address_it_was_asked_at() -> None:
    assert "http://gateway.example/v1/chat/completions" in page()


def test_tls_that_ended_before_us_is_named() -> None:
    assert "https://gateway.example/v1" in page({"x-forwarded-proto": "https, http"})
    assert "http://gateway.example/v1" in page({"x-forwarded-proto": "javascript"})


@pytest.mark.parametrize(("outside", "base"), [("/prod/", "/prod/v1"), ("/", "/v1"), (None, "/v1")])
def test_the_stage_of_api_gateway_is_named(outside: str | None, base: str) -> None:
    event = {"requestContext": {"path": outside}}
    assert f"<code>http://gateway.example{base}</code>" in page(None, **{"aws.event": event})


def test_a_hostile_host_is_text() -> None:
    assert "<script>" not in page({"host": "x<script>alert(1)</script>"})
