"""The body of chat/completions (official.md §2 and §13, 2026-11)."""

from __future__ import annotations

from typing import Any

import msgspec

from lib.chat.request import ChatRequest, Tool
from lib.upstreams.official.wire.messages import write_messages
from lib.upstreams.official.wire.models import Model, Target, thinking_fields
from lib.upstreams.official.wire.schemas import Flattener

Json = dict[str, Any]

CHAT = "chat/completions"
MAX_STOPS_CHINA, MAX_STOPS_ABROAD = 4, 1
MIN_USER_CHARS, MAX_USER_CHARS = 6, 128
MIN_TOKENS_TO_THINK = 1024
"""The log notes a smaller limit for a model that may think."""
_CHINESE_HOST = "://open.bigmodel.cn"


class Region(msgspec.Struct, frozen=True):
    """The differences between the vendor's two hosts."""

    max_stops: int
    search_engine: str


def region_of(base_url: str) -> Region:
    """An unknown host is taken for the stricter one."""
    is_abroad = "://api.z.ai" in base_url.lower()
    stops = MAX_STOPS_CHINA if _CHINESE_HOST in base_url.lower() else MAX_STOPS_ABROAD
    return Region(stops, "search_pro_jina" if is_abroad else "search_std")


class Written(msgspec.Struct, frozen=True):
    body: Json
    notices: tuple[str, ...] = ()
    """Facts for the log, such as a schema that was flattened."""


def write_body(chat: ChatRequest, target: Target, region: Region) -> Written:
    """Every answer is asked for as a stream, so that there is one path."""
    model = target.model
    body: Json = {"model": model.id, "messages": write_messages(chat, model), "stream": True}
    body |= thinking_fields(model, target.effort)
    body |= _sampling(chat)
    if chat.max_tokens is not None:
        body["max_tokens"] = min(chat.max_tokens, model.max_output_tokens)
    if 0 < len(chat.stop) <= region.max_stops:
        body["stop"] = list(chat.stop)
    if MIN_USER_CHARS <= len(chat.user) <= MAX_USER_CHARS:
        body["user_id"] = chat.user
    if asks_for_json_object(chat, model):
        body["response_format"] = {"type": "json_object"}
    tools, notices = _tools(chat, target, region)
    if tools:
        body["tools"] = tools
    if chat.tools and model.has_tools:
        body["tool_choice"] = "auto"
        if model.streams_tools:
            body["tool_stream"] = True  # Without it, glm-5 degenerates while it streams (2026-03).
    return Written(body, (*notices, *_limit_notices(chat, target)))


def _limit_notices(chat: ChatRequest, target: Target) -> tuple[str, ...]:
    """Thinking uses up a small limit before the first word, so that the answer is empty (2026-09-14)."""
    may_think = target.model.thinking == "always" or (
        target.model.thinking != "never" and target.effort not in ("none", "minimal")
    )
    is_small = chat.max_tokens is not None and chat.max_tokens < MIN_TOKENS_TO_THINK
    return ("small_limit",) if is_small and may_think else ()


def asks_for_json_object(chat: ChatRequest, model: Model) -> bool:
    """The API has no field for a schema, nor any for another value than an object."""
    if chat.json_format is None or model.sees:
        return False
    schema = chat.json_format.schema
    return schema is None or schema.get("type") == "object" or "properties" in schema


def _sampling(chat: ChatRequest) -> Json:
    """Keep within the limits that the API enforces, with two decimals."""
    fields: Json = {}
    if chat.temperature is not None:
        if chat.temperature <= 0:
            fields["do_sample"] = False
        else:
            fields["temperature"] = min(1.0, max(0.01, round(chat.temperature, 2)))
    if chat.top_p is not None and chat.top_p < 1:
        fields["top_p"] = max(0.01, round(chat.top_p, 2))
    return fields


def _tools(chat: ChatRequest, target: Target, region: Region) -> tuple[list[Json], tuple[str, ...]]:
    """Write the functions, or else the web search: the API takes one kind of tools at a time.

    A model without tools takes neither (1210). The chat's messages tell it of the functions.
    """
    if not target.model.has_tools:
        return [], ("search_left_out",) if target.web_search else ()
    if chat.tools:
        written = [_function(tool) for tool in chat.tools]
        notices = ["schema_flattened"] * sum(has_changed for _, has_changed in written)
        notices += ["search_left_out"] if target.web_search else []
        return [function for function, _ in written], tuple(notices)
    if not target.web_search:
        return [], ()
    search = {"enable": True, "search_engine": region.search_engine, "search_result": True}
    return [{"type": "web_search", "web_search": search}], ()


def _function(tool: Tool) -> tuple[Json, bool]:
    flattener = Flattener(tool.schema or {"type": "object", "properties": {}})
    function = {
        "name": tool.name,
        "description": tool.description or tool.name,  # The API requires one.
        "parameters": flattener.flatten(),
    }
    return {"type": "function", "function": function}, flattener.has_changed
