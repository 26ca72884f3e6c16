"""Builds streams in the upstream's form (captures of 2026-09) for the decoder's tests."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from lib.chat.answer import Answer
from lib.chat.events import ReasoningDelta, ReplyEvent, visible_text
from lib.upstreams.chatglm.decoder.stream import ReplyDecoder

FLAGGED = {"if_increase_push": True}
UNFLAGGED_END = {"if_increase_push": False}


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def think(value: str) -> dict[str, Any]:
    return {"type": "think", "think": value}


def part(logic_id: str | None, *items: dict[str, Any], status: str = "init", **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"id": "h1", "role": "assistant", "status": status, "content": list(items), **more}
    return made if logic_id is None else {**made, "logic_id": logic_id}


def event(*parts: dict[str, Any], status: str = "init", **more: Any) -> bytes:
    body = {"id": "h1", "conversation_id": "c1", "status": status, "parts": list(parts), **more}
    return b"event: message\ndata: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"


def flagged(*parts: dict[str, Any], **more: Any) -> bytes:
    return event(*parts, meta_data=FLAGGED, **more)


def finish(*parts: dict[str, Any]) -> bytes:
    return event(*parts, status="finish", meta_data=UNFLAGGED_END)


def decode(*chunks: bytes) -> list[ReplyEvent]:
    decoder = ReplyDecoder()
    told = [told for chunk in chunks for told in decoder.feed(chunk)]
    return told + decoder.end()


def streamed_text(events: Iterable[ReplyEvent]) -> str:
    """Join what a streaming client is shown."""
    return "".join(map(visible_text, events))


def streamed_reasoning(events: Iterable[ReplyEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, ReasoningDelta))


def final_text(events: Iterable[ReplyEvent]) -> str:
    """Return the text that an accumulating client is given."""
    return Answer(events).text
