from __future__ import annotations

from dataclasses import dataclass, field

from lib.web.headers import reply_headers


@dataclass
class Reply:
    served_model: str = ""
    account_label: str = ""
    timings: dict[str, float] = field(default_factory=dict)


def test_what_is_known_is_told() -> None:
    reply = Reply("moe_53f", "0a1b2c3d", {"wait": 0.0012, "first": 1.5})
    assert reply_headers(reply) == {
        "x-glm-model": "moe_53f",
        "x-glm-account": "0a1b2c3d",
        "x-glm-usage": "estimated",
        "server-timing": "wait;dur=1.2, first;dur=1500.0",
    }


def test_what_is_not_known_is_left_out() -> None:
    assert reply_headers(Reply()) == {"x-glm-usage": "estimated"}


def test_the_upstreams_words_make_no_header_lines() -> None:
    assert reply_headers(Reply("moe\r\nset-cookie: 令"))["x-glm-model"] == "moe??set-cookie: ?"
