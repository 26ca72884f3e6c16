from __future__ import annotations

from lib.chat.events import Started
from lib.web.headers import printable_model, reply_headers, server_timing


def test_what_is_known_is_told() -> None:
    assert reply_headers(Started("66f0c1", "moe_53f", "0a1b2c3d")) == {
        "x-glm-upstream": "web",
        "x-glm-model": "moe_53f",
        "x-glm-account": "0a1b2c3d",
        "x-glm-usage": "estimated",
    }


def test_what_is_not_known_is_left_out() -> None:
    assert reply_headers(Started("", "")) == {"x-glm-upstream": "web", "x-glm-usage": "estimated"}


def test_the_official_api_counts_itself_and_a_fallback_is_told_with_its_reason() -> None:
    headers = reply_headers(Started("", "glm-4.5-flash"), upstream="api", fallback="account_busy")
    assert headers == {
        "x-glm-upstream": "api",
        "x-glm-model": "glm-4.5-flash",
        "x-glm-fallback": "account_busy",
        "x-glm-usage": "reported",
    }


def test_the_upstreams_words_make_no_header_lines() -> None:
    assert reply_headers(Started("", "moe\r\nset-cookie: 令"))["x-glm-model"] == "moe??set-cookie: ?"
    assert printable_model("x" * 1000) == "x" * 64


def test_times_are_told_in_milliseconds() -> None:
    timings = {"wait": 0.0012, "first": 1.5}
    assert server_timing(timings, total_s=None) == "wait;dur=1.2, first;dur=1500.0"
    assert server_timing(timings, total_s=2.0) == "wait;dur=1.2, first;dur=1500.0, total;dur=2000.0"
    assert server_timing({}, total_s=None) == ""
    assert timings == {"wait": 0.0012, "first": 1.5}
