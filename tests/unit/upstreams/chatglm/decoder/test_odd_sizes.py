"""Odd answers cost linear time: the loop that decodes them serves every other request, too."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from lib.upstreams.chatglm.decoder.stream import ReplyDecoder

MAX_S = 4.0
"""Before the decoder was linear each took 3 to 48 s; now they take less than one."""


def event(status: str, parts: list[dict[str, Any]]) -> bytes:
    told = {"id": "h", "conversation_id": "c", "status": status, "parts": parts}
    return b"event: message\ndata: " + msgspec.json.encode(told) + b"\n\n"


def text(number: int) -> dict[str, Any]:
    return {"type": "text", "text": f"text {number}"}


PAGES = [
    {"url": f"https://e.example/{n}", "title": "t", "match_key": f"turn0search{n}"} for n in range(20_000)
]
SEARCHED = [{"logic_id": "l", "status": "init", "content": [text(1)], "meta_data": {"metadata_list": PAGES}}]
PARTS = [{"status": "finish", "content": [text(number)]} for number in range(6_000)]
ITEMS = [text(number) for number in range(6_000)]

ODD: dict[str, list[bytes]] = {
    "20,000 search results": [event("init", SEARCHED), event("finish", [])],
    "6,000 finished parts without an id": [event("init", PARTS), event("finish", PARTS)],
    "6,000 parts without an id at the end": [event("finish", PARTS)],
    "6,000 items that another order repeats": [
        event("init", [{"status": "finish", "logic_id": "l", "content": ITEMS}]),
        event("finish", [{"status": "finish", "content": ITEMS[::-1]}]),
    ],
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_answer_costs_no_more_than_its_size(name: str) -> None:
    decoder, count = ReplyDecoder(), 0
    began_at = time.perf_counter()
    for received in ODD[name]:
        count += len(decoder.feed(received))
    assert decoder.ended
    assert count > 5_000
    assert time.perf_counter() - began_at < MAX_S
