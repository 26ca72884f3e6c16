"""The faults: what each is for an answer in JSON, for a stream, and for a stream that has begun to answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from simulator.steps import Cue, Script, Step, frame
from tests.system.faults.proxy import Answer, Exchange

FAULTS = {
    "refused": "the connection is refused",
    "reset": "the connection is reset before the headers",
    "reset_later": "the connection is reset after the headers",
    "hang": "nothing comes",
    "drip": "a byte comes now and then, and no end",
    "html_403": "a firewall's page, HTTP 403",
    "busy": "HTTP 429, 10061 请等待其他对话生成完毕",
    "too_often": "HTTP 429, 10061 请求过于频繁，请稍后再试",
    "http_500": "HTTP 500, JSON",
    "cut_json": "the JSON ends in its middle",
    "wrong_type": "the right answer under `Content-Type: text/html`",
    "wrong_shape": "valid JSON of another shape",
    "gzip": "garbage that calls itself gzip",
    "long_line": "a line of 10 MB",
    "tiny": "100,000 events of one character; JSON: 10,000 chunks of one byte",
    "clock": "the clocks are 10 minutes apart",
}
HARMLESS = frozenset(("wrong_type", "tiny", "clock"))
"""What the gateway takes in its stride."""
HEAVY = frozenset(("long_line", "tiny"))
"""What takes time by itself."""

SKEW_S = 600.0
DRIP_S = 0.05
LINE_BYTES = 10_000_000
TINY_EVENTS = 100_000
TINY_CHUNKS = 10_000
"""Of a JSON answer: some must be there within 5 s, and a busy machine takes longer for a hundred thousand."""
BUSY = (10061, "请等待其他对话生成完毕")
TOO_OFTEN = (10061, "请求过于频繁，请稍后再试")
STALE = (40014, "bad request(40014)")
PAGE = b"<html><body>403 Forbidden</body></html>"
GARBAGE = b"\x1f\x8b\x08\x00" + bytes(range(255, 0, -1))

SPOKEN = b"word 3"
"""What has been said when a begun answer goes wrong."""


def head(status: int, content_type: str, *more: str) -> bytes:
    lines = (f"HTTP/1.1 {status} -", f"content-type: {content_type}", "connection: close", *more, "", "")
    return "\r\n".join(lines).encode()


def whole(status: int, content_type: str, body: bytes, *more: str) -> bytes:
    return head(status, content_type, f"content-length: {len(body)}", *more) + body


def envelope(number: int, message: str) -> bytes:
    return json.dumps({"status": number, "message": message, "result": None}, ensure_ascii=False).encode()


CHUNKED = "transfer-encoding: chunked"
JSON, EVENTS = "application/json", "text/event-stream"


def saying(raw: bytes) -> Answer:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(raw)

    return answer


REFUSALS = {
    "html_403": saying(whole(403, "text/html", PAGE)),
    "busy": saying(whole(429, JSON, envelope(*BUSY))),
    "too_often": saying(whole(429, JSON, envelope(*TOO_OFTEN))),
    "http_500": saying(whole(500, JSON, envelope(500, "internal server error"))),
}
"""The same in place of any answer."""

STALE_REFUSAL = saying(whole(400, JSON, envelope(*STALE)))


async def reset(exchange: Exchange) -> None:
    exchange.reset()


async def hang(_: Exchange) -> None:
    await asyncio.Event().wait()  # until the gateway has left, which ends it


async def drip(exchange: Exchange) -> None:
    while True:
        await exchange.send_chunk(b"x")
        await asyncio.sleep(DRIP_S)


def after(raw: bytes, then: Answer) -> Answer:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(raw)
        await then(exchange)

    return answer


async def wrong_type(exchange: Exchange) -> None:
    await exchange.forward(b"text/html; charset=utf-8")


async def forward(exchange: Exchange) -> None:
    await exchange.forward()


# JSON

ODD_RESULT = b'{"status":0,"message":"success","result":["unexpected"]}'


async def byte_by_byte(exchange: Exchange) -> None:
    answer = await exchange.carry_out()
    top, _, body = answer.partition(b"\r\n\r\n")
    padded = b" " * (TINY_CHUNKS - len(body)) + body
    assert top.startswith(b"HTTP/1.1 200 "), top
    await exchange.send(head(200, JSON, CHUNKED) + b"".join(b"1\r\n%c\r\n" % byte for byte in padded))
    await exchange.end_chunks()


JSON_ANSWERS: dict[str, Answer] = REFUSALS | {
    "reset": reset,
    "reset_later": after(head(200, JSON, "content-length: 1000") + b'{"status":0', reset),
    "hang": hang,
    "drip": after(head(200, JSON, CHUNKED), drip),
    "cut_json": saying(whole(200, JSON, b'{"status":0,"message":"success","result":{"acc')),
    "wrong_type": wrong_type,
    "wrong_shape": saying(whole(200, JSON, ODD_RESULT)),
    "gzip": saying(whole(200, JSON, GARBAGE, "content-encoding: gzip")),
    "long_line": saying(whole(200, JSON, b'{"status":0,"result":"' + b"x" * LINE_BYTES + b'"}')),
    "tiny": byte_by_byte,
    "clock": forward,
}
LOST = frozenset(("reset", "reset_later", "hang", "drip", "cut_json", "wrong_shape", "gzip", "long_line"))
"""Faults of the answer: what was asked for may have been done."""


def carried_out(answer: Answer) -> Answer:
    """The same, of a call that the upstream has carried out."""

    async def lost(exchange: Exchange) -> None:
        await exchange.carry_out()
        await answer(exchange)

    return lost


# Streams

ODD_EVENTS = (
    b'data: {"parts": 7, "status": ["finish"], "conversation_id": 5, "meta_data": "x"}\n\n'
    b'data: [1, "2"]\n\ndata: {"parts": [3, {"content": {"text": "x"}}, {"content": [{"type": 4}]}]}\n\n'
)
CUT_EVENT = b'event: message\ndata: {"id":"66a1b2c3d4e5f6a7b8c9d0e1","parts":[{"con'
LONG_EVENT = b'data: {"parts":[{"content":[{"type":"text","text":"' + b"x" * LINE_BYTES + b'"}]}]}\n\n'

STREAM_ANSWERS: dict[str, Answer] = JSON_ANSWERS | {
    "reset_later": after(head(200, EVENTS, CHUNKED), reset),
    "drip": after(head(200, EVENTS, CHUNKED) + b"5\r\ndata:\r\n", drip),
    "cut_json": saying(whole(200, EVENTS, CUT_EVENT)),
    "wrong_shape": saying(whole(200, EVENTS, ODD_EVENTS)),
    "gzip": saying(whole(200, EVENTS, GARBAGE, "content-encoding: gzip")),
    "long_line": saying(whole(200, EVENTS, LONG_EVENT)),
    "tiny": forward,
}


def tiny_events(cue: Cue) -> Iterator[Step]:
    """A hundred thousand of them, a thousand in each write; as short as they may be."""
    script = Script(cue)
    tiny = b'data: {"parts":[{"logic_id":"t","content":[{"type":"text","text":"x"}]}],"meta_data":%b}\n\n'
    yield script.opening()
    for _ in range(TINY_EVENTS // 1000):
        yield tiny % b'{"if_increase_push":true}' * 1000
    yield script.finish(script.part("t", {"type": "text", "text": "x" * TINY_EVENTS}, status="finish"))


def tiny_events_and_images(cue: Cue) -> Iterator[Step]:
    *events, _ = tiny_events(cue)
    yield from events
    script = Script(cue)
    image = {"type": "image", "image": [{"image_url": f"{cue.image_base}/{cue.history_id}_0_0.jpg"}]}
    yield script.event(script.part("images", image), increase=None)
    yield script.finish(script.part("images", {"type": "one_to_more_finish", "image": [{}]}, status="finish"))


# Streams that have begun


def begun(then: Callable[[Exchange], Awaitable[None]], *, at_work: bool = False) -> Answer:
    """Let the answer begin, and then go wrong; `at_work` the upstream goes on behind it."""

    async def answer(exchange: Exchange) -> None:
        async with exchange.passed_on() as upstream:
            await exchange.relay_until(upstream, SPOKEN)
            if at_work:
                await then(exchange)
        if not at_work:
            await then(exchange)

    return answer


def chunk_and_end(data: bytes) -> Callable[[Exchange], Awaitable[None]]:
    async def say(exchange: Exchange) -> None:
        await exchange.send_chunk(data)
        await exchange.end_chunks()

    return say


def failing(number: int, message: str) -> Answer:
    error: dict[str, Any] = {"error_code": number, "err_msg": message}
    return begun(chunk_and_end(frame({"status": "error", "last_error": error})))


async def cut_chunk(exchange: Exchange) -> None:
    await exchange.send(b"64\r\n" + CUT_EVENT)


async def odd_events_between(exchange: Exchange) -> None:
    async with exchange.passed_on() as upstream:
        await exchange.relay_until(upstream, SPOKEN)
        await exchange.send_chunk(ODD_EVENTS)
        await exchange.relay_body(upstream)


async def end(exchange: Exchange) -> None:
    await exchange.end_chunks()


BEGUN_ANSWERS: dict[str, Answer] = {
    "refused": begun(end),
    "reset": begun(reset, at_work=True),
    "reset_later": begun(cut_chunk, at_work=True),
    "hang": begun(hang, at_work=True),
    "drip": begun(drip, at_work=True),
    "html_403": begun(chunk_and_end(PAGE)),
    "busy": failing(*BUSY),
    "too_often": failing(*TOO_OFTEN),
    "http_500": failing(10025, "stream request error"),
    "cut_json": begun(chunk_and_end(CUT_EVENT)),
    "wrong_type": wrong_type,
    "wrong_shape": odd_events_between,
    "gzip": begun(chunk_and_end(GARBAGE)),
    "long_line": begun(chunk_and_end(LONG_EVENT)),
    "tiny": forward,
    "clock": failing(*STALE),
}
