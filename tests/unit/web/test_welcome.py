from __future__ import annotations

import base64
import hashlib
import re

import pytest
from starlette.requests import Request
from starlette.responses import HTMLResponse

from lib.web.welcome import welcome_page


def answer(host: str = "gateway.example") -> HTMLResponse:
    raw = [(b"host", host.encode())]
    return welcome_page(
        Request({"type": "http", "scheme": "http", "path": "/", "query_string": b"", "headers": raw})
    )


def page(host: str = "gateway.example") -> str:
    return bytes(answer(host).body).decode()


def policy() -> dict[str, str]:
    directives = answer().headers["content-security-policy"].split("; ")
    return dict(directive.split(" ", 1) for directive in directives)


def test_the_page_names_the_address_it_was_asked_at() -> None:
    assert "<code>http://gateway.example/v1</code>" in page()
    assert "http://gateway.example/v1/chat/completions" in page()


@pytest.mark.parametrize("host", ["x<script>alert(1)</script>", "x' onclick='y", 'x"><img src=y>', "["])
def test_a_hostile_host_is_text(host: str) -> None:
    shown = page(host)
    assert re.findall("<[^>]*>", shown) == re.findall("<[^>]*>", page())


def test_the_page_may_load_nothing_and_run_nothing() -> None:
    styles = re.findall("<style>(.*?)</style>", page(), re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() for style in styles]
    assert policy() == {
        "default-src": "'none'",
        "style-src": " ".join(f"'sha256-{digest}'" for digest in hashes),
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert len(styles) == 1


def test_the_page_needs_nothing_that_the_policy_forbids() -> None:
    shown = page()
    assert not re.search(r"<(script|img|iframe|object|embed|form|base|link|video|audio)\b", shown)
    assert not re.search(r"\s(style|on\w+|src|srcset|action)\s*=", shown)
    assert "url(" not in shown
    assert "@import" not in shown


def test_the_page_leads_to_no_other_origin() -> None:
    assert re.findall(r'href="([^"]*)"', page()) == ["health", "openapi.json"]
    assert set(re.findall(r"[a-z]+://[^/\s\"<]+", page())) == {"http://gateway.example"}


def test_the_page_tells_no_other_site_where_it_was_and_shares_no_window() -> None:
    headers = answer().headers
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
