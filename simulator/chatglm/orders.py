"""Read a chat request, and note its differences from a browser's (protocol.md §2)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from simulator.records import Call
from simulator.steps import Json, Reply

from .catalogue import ASPECT_RATIOS, AVAILABLE_MODELS, DRAWING_AGENT, MAIN_AGENT
from .registry import missing_field

CHAT_MODES = ("", "zero", "thinking", "deep_thinking", "deep_research")
EFFORTS = ("low", "high", "max")

_FILE_FIELDS = {"file_id", "file_name", "file_size", "order"}
_SELECTABLE: set[Any] = {model["selected_model"] for model in AVAILABLE_MODELS["models"]}  # type: ignore[index]
_SERVED = {"glm-5.3": "moe_53"}
"""The flash tier, `moe_53f`, serves all other models (protocol.md §2)."""


@dataclass(frozen=True, slots=True)
class ChatOrder:
    """A chat request, read."""

    assistant_id: str
    conversation_id: str
    prompt: str
    chat_mode: str
    model: str
    web_search: bool
    files: tuple[Json, ...] = ()
    """The files that the message refers to, each with its `kind`: image or file."""


def read_order(call: Call, agents: dict[str, str]) -> tuple[ChatOrder | Reply, list[str]]:
    """Return the order or the upstream's refusal, and the differences from a browser's request."""
    body = call.json
    if not isinstance(body, dict):
        return Reply(400, {"validation_error": {"body_params": []}}), ["body is not a JSON object"]
    if "assistant_id" not in body:
        return missing_field("assistant_id"), ["assistant_id missing"]
    if "messages" not in body:
        return missing_field("messages"), ["messages missing"]
    assistant_id = body["assistant_id"]
    if assistant_id not in agents:
        return Reply(200, {"status": 0, "result": None}), []
    meta = body.get("meta_data")
    notes = list(_odd_messages(body["messages"]))
    notes += _odd_meta(meta) if isinstance(meta, dict) else ["meta_data is not an object"]
    notes += _odd_rest(body, call.headers.get("referer", ""))
    meta = meta if isinstance(meta, dict) else {}
    if assistant_id == DRAWING_AGENT:
        notes += _odd_cogview(meta.get("cogview", {}))
    order = ChatOrder(
        assistant_id=assistant_id,
        conversation_id=str(body.get("conversation_id") or ""),
        prompt=_read_prompt(body["messages"]),
        chat_mode=str(meta.get("chat_mode") or ""),
        model=_SERVED.get(str(meta.get("selected_model")), "moe_53f"),
        web_search=bool(meta.get("is_networking")),
        files=_read_files(body["messages"]),
    )
    return order, notes


def _read_prompt(messages: Any) -> str:
    """Take the text of the last user message; the upstream reads no other."""
    users = [m for m in messages if isinstance(m, dict) and m.get("role") == "user"] if messages else []
    content = users[-1].get("content") if users else None
    items = [item for item in content if isinstance(item, dict)] if isinstance(content, list) else []
    return "\n".join(str(item.get("text", "")) for item in items if item.get("type") == "text")


def _read_files(messages: Any) -> tuple[Json, ...]:
    last = messages[-1] if isinstance(messages, list) and messages else None
    content = last.get("content") if isinstance(last, dict) else None
    items = [item for item in content if isinstance(item, dict)] if isinstance(content, list) else []
    lists = [(kind, item.get(kind)) for item in items for kind in ("image", "file")]
    return tuple(
        {**file, "kind": kind}
        for kind, files in lists
        if isinstance(files, list)
        for file in files
        if isinstance(file, dict)
    )


def _odd_messages(messages: Any) -> Iterator[str]:
    if not isinstance(messages, list) or len(messages) != 1:
        count = len(messages) if isinstance(messages, list) else messages
        yield f"expected exactly one message, got {count!r}"
        return
    message = messages[0]
    if not isinstance(message, dict) or message.get("role") != "user":
        yield f"expected a user message, got {message!r:.80}"
        return
    content = message.get("content")
    if not isinstance(content, list) or not content:
        yield f"expected a list of content items, got {content!r:.80}"
        return
    for item in content:
        yield from _odd_item(item)
    kinds = [item.get("type") for item in content if isinstance(item, dict)]
    if "text" in kinds[1:] and kinds[0] != "text":
        yield "references come after the text"


def _odd_item(item: Any) -> Iterator[str]:
    kind = item.get("type") if isinstance(item, dict) else None
    match kind:
        case "text":
            if not isinstance(item.get("text"), str):
                yield f"text item without text: {item!r:.80}"
        case "image" | "file":
            files = item.get(kind)
            url = "image_url" if kind == "image" else "file_url"
            needed = _FILE_FIELDS | {url}
            if not isinstance(files, list) or not all(needed <= set(file) for file in files):
                yield f"{kind} item needs a list of objects with {sorted(needed)}"
            elif not all(isinstance(file[url], str) for file in files):
                yield f"{url} is not a string"
        case _:
            yield f"content item of type {kind!r} is silently ignored"


def _odd_meta(meta: dict[str, Any]) -> Iterator[str]:
    if meta.get("chat_mode") not in CHAT_MODES:
        yield f"unknown chat_mode {meta.get('chat_mode')!r}"
    if "reasoning_effort" in meta and meta["reasoning_effort"] not in EFFORTS:
        yield f"unknown reasoning_effort {meta['reasoning_effort']!r}"
    if "selected_model" in meta and meta["selected_model"] not in _SELECTABLE:
        yield f"unknown selected_model {meta['selected_model']!r}"
    if not isinstance(meta.get("is_networking"), bool):
        yield f"is_networking is {meta.get('is_networking')!r}"


def _odd_rest(body: dict[str, Any], referer: str) -> Iterator[str]:
    conversation_id = body.get("conversation_id")
    if not isinstance(conversation_id, str):
        yield f"conversation_id is {conversation_id!r}, not a string"
    elif conversation_id and not re.fullmatch(r"[0-9a-f]{24}", conversation_id):
        yield f"conversation_id is not 24 hex digits: {conversation_id!r}"
    assistant_id = body["assistant_id"]
    page = "alltoolsdetail" if assistant_id == MAIN_AGENT else f"gdetail/{assistant_id}"
    if not referer.endswith(f"/main/{page}"):
        yield f"Referer is {referer!r}, not …/main/{page}"


def _odd_cogview(cogview: Any) -> Iterator[str]:
    """Name the differences from the web's request; a plain chat with the agent sends the watermark only."""
    if not isinstance(cogview, dict):
        yield f"cogview is {cogview!r}"
        return
    if cogview.get("aspect_ratio", "1:1") not in ASPECT_RATIOS:
        yield f"unknown aspect_ratio {cogview.get('aspect_ratio')!r}"
    for name in ("style", "scene"):
        if not isinstance(cogview.get(name, "none"), str) or cogview.get(name) == "":
            yield f"{name} is {cogview.get(name)!r}"
