"""Odd answers cost linear time: the loop that decodes them serves every other request, too."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from lib.upstreams.chatglm.decoder.stream import ReplyDecoder

MAX_GROWTH = 9
"""A decoder that compares each part with all others takes 16 times as long for four times the answer."""


def event(status: str, parts: list[dict[str, Any]]) -> bytes:
    told = {"id": "h", "conversation_id": "c", "status": status, "parts": parts}
    return b"event: message\ndata: " + msgspec.json.encode(told) + b"\n\n"


def text(number: int) -> dict[str, Any]:
    return {"type": "text", "text": f"text {number}"}


def texts(count: int) -> list[dict[str, Any]]:
    return [text(number) for number in range(count)]


def parts(count: int) -> list[dict[str, Any]]:
    return [{"status": "finish", "content": [item]} for item in texts(count)]


def search_results(count: int) -> list[bytes]:
    pages = [
        {"url": f"https://e.example/{n}", "title": "t", "match_key": f"turn0search{n}"} for n in range(count)
    ]
    found = {"logic_id": "l", "status": "init", "content": [text(1)], "meta_data": {"metadata_list": pages}}
    return [event("init", [found]), event("finish", [])]


def items_in_another_order(count: int) -> list[bytes]:
    items = texts(count)
    return [
        event("init", [{"status": "finish", "logic_id": "l", "content": items}]),
        event("finish", [{"status": "finish", "content": items[::-1]}]),
    ]


ODD: dict[str, tuple[int, Callable[[int], list[bytes]]]] = {
    "search results": (20_000, search_results),
    "finished parts without an id": (6_000, lambda n: [event("init", parts(n)), event("finish", parts(n))]),
    "parts without an id at the end": (6_000, lambda n: [event("finish", parts(n))]),
    "items that another order repeats": (6_000, items_in_another_order),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_answer_costs_no_more_than_its_size(name: str) -> None:
    count, answer = ODD[name]

    def took_s(count: int) -> float:
        """Of the processor, not of the clock: other tests may share the core."""
        decoder, given, received = ReplyDecoder(), 0, answer(count)
        began_at = time.process_time()
        for chunk in received:
            given += len(decoder.feed(chunk))
        took = time.process_time() - began_at
        assert decoder.ended
        assert given > count * 0.8
        return took

    gc.disable()  # A collection costs by the size of the whole process, and not of the answer.
    try:
        small, whole = (min(took_s(size) for _ in range(3)) for size in (count // 4, count))
    finally:
        gc.enable()
    assert whole < MAX_GROWTH * small
