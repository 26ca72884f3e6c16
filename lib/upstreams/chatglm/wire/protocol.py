"""The wire shapes of chatglm.cn (web, 2026-09): paths, headers, bodies and events.

There is no contract. So every field is optional, and unknown fields are ignored.
"""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

import msgspec

from lib.chat.events import InterceptedCall
from lib.chat.names import Mode
from lib.upstreams.chatglm.wire.models import Target

REFRESH = "/user-api/user/refresh"
USER_INFO = "/user-api/user/info"
AVAILABLE_MODELS = "/agent-api/operation/detail?tag=available_models"
CHAT_STREAM = "/backend-api/assistant/stream"
STOP_STREAM = "/mainchat-api/stream/stop_stream"
BULK_DELETE = "/mainchat-api/conversation/bulk_delete"
DELETE_2025 = "/backend-api/assistant/conversation/delete"
SERVER_TIME = "/operation-api/config/cur_ts"

MAX_RESULT_CHARS = 200
"""Only the first words of a result of the upstream's tool layer are read."""

T = TypeVar("T")

MAIN_REFERER = "https://chatglm.cn/main/alltoolsdetail"
AGENT_REFERER = "https://chatglm.cn/main/gdetail/"

# `chat_mode` and `reasoning_effort`, as the web application sends them (captured 2026-09-29). Before 2026,
# `zero` was the name of `thinking`.
_CHAT_MODES: dict[Mode, tuple[str, str | None]] = {
    "fast": ("", "low"),
    "thinking": ("thinking", "high"),
    "deep_thinking": ("deep_thinking", "max"),
    "deep_research": ("deep_research", None),
}


class ToolResult(msgspec.Struct):
    """A page that a search found."""

    title: Any = None
    url: Any = None
    match_key: Any = None
    """The key in markers, for example `turn0search3` (since 2026)."""


class ToolResultExtra(msgspec.Struct):
    """The pages of a `tool_result` part (captured 2026)."""

    search_results: list[ToolResult] | None = None


class PartMeta(msgspec.Struct):
    tool_result_extra: ToolResultExtra | None = None
    metadata_list: list[ToolResult] | None = None
    """The pages of a `quote_result` part (captured 2024)."""


class Item(msgspec.Struct):
    type: str = ""
    text: str | None = None
    think: str | None = None
    code: str | None = None
    """The program of a `code` item; the rewritten prompt of an `image` item (captured 2026-09-30)."""
    content: Any = None
    """The text of `execution_output`, `browser_result` and `system_error` (2024)."""
    image: Any = None
    """`[{image_url}]`; in a `one_to_more_finish` item `[{}]` (captured 2026-09-30)."""
    tool_calls: Any = None
    """A call of the upstream's tool layer: `{id, name, arguments}`, or a list of them (2026-08)."""
    tool_result: Any = None
    """`{id, content}`: the second form of a result (2026-10)."""


class Part(msgspec.Struct):
    id: str | None = None
    """The same as the event's id."""
    logic_id: str | None = None
    """The identity of the part within the answer. Some streams of 2025 have none."""
    role: str | None = None
    content: list[Item] | None = None
    model: str | None = None
    meta_data: PartMeta | None = None
    status: str | None = None


class EventMeta(msgspec.Struct):
    if_increase_push: bool | None = None
    """True: texts are increments. False: they are whole texts (captured 2026-09-26). Some streams omit it."""


class Event(msgspec.Struct):
    """One event of an answer: it carries only the parts that changed (captured 2026-09-26)."""

    id: str | None = None
    """The history_id; `stop_stream` takes it."""
    conversation_id: str | None = None
    parts: list[Part] | None = None
    status: str | None = None
    """`init`, and at the end of the answer `finish`, `error` or `intervene`."""
    last_error: Any = None
    error: Any = None
    meta_data: EventMeta | None = None


class FileReference(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was uploaded, as a message refers to it."""

    file_id: str
    url: str
    name: str
    size: int
    is_image: bool


class Envelope(msgspec.Struct):
    """The answer of every JSON endpoint. `status` 0 is success; in 2024 it was called `code`."""

    status: Any = None
    code: Any = None
    message: Any = None
    result: Any = None
    validation_error: Any = None

    @property
    def number(self) -> int | None:
        value = self.code if self.status is None else self.status
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    @property
    def words(self) -> str:
        return without_tokens(self.message) if self.message else "no message"


_TOKEN = re.compile(r"eyJ[\w.-]*")


def without_tokens(said: object) -> str:
    """Return the upstream's words for an error. Callers read them, so tokens in them are replaced."""
    return _TOKEN.sub("…", str(said))[:200]


_HALF = re.compile("[\ud800-\udfff]")
_INCREMENTS = frozenset(("text", "think", "code", "content"))
UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_decode_event = msgspec.json.Decoder(Event).decode


def decode_event(payload: bytes) -> Event | None:
    """Decode one event; return None for a line that is not an event (keep-alive, junk)."""
    try:
        return _decode_event(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _decode_piecewise(payload) if payload.startswith(b"{") else None


def _decode_piecewise(payload: bytes) -> Event | None:
    """Decode the well-formed fields of an event in which a field has an unknown type.

    The standard library's parser also accepts a lone surrogate; a snippet may end with one.
    """
    try:
        raw = json.loads(payload, object_hook=_with_whole_characters)
    except (ValueError, RecursionError):
        return None
    parts = raw.get("parts")
    event = Event(
        id=_text_or_none(raw.get("id")),
        conversation_id=_text_or_none(raw.get("conversation_id")),
        status=_text_or_none(raw.get("status")),
        last_error=raw.get("last_error"),
        error=raw.get("error"),
        meta_data=_converted(raw.get("meta_data"), EventMeta),
    )
    event.parts = [_part(part) for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    return event


def whole_characters(text: str) -> str:
    """Join surrogate pairs, and replace lone surrogates: UTF-8 cannot encode them."""
    if text.isascii() or not _HALF.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _with_whole_characters(raw: dict[str, Any]) -> dict[str, Any]:
    """Do so in all fields but increments: the next increment may bring the other surrogate."""
    return {
        name: whole_characters(value) if isinstance(value, str) and name not in _INCREMENTS else value
        for name, value in raw.items()
    }


def _part(raw: dict[str, Any]) -> Part:
    content = raw.get("content")
    items = [_converted(item, Item) for item in content] if isinstance(content, list) else []
    return Part(
        id=_text_or_none(raw.get("id")),
        logic_id=_text_or_none(raw.get("logic_id")),
        role=_text_or_none(raw.get("role")),
        # An unreadable item keeps its place: a text is identified by its index.
        content=[item or Item() for item in items],
        model=_text_or_none(raw.get("model")),
        meta_data=_converted(raw.get("meta_data"), PartMeta),
        status=_text_or_none(raw.get("status")),
    )


def _converted(value: Any, shape: type[T]) -> T | None:
    try:
        return msgspec.convert(value, shape)
    except ValueError:  # ValidationError, or a lone surrogate in a name.
        return None


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def app_headers(*, app_version: str, user_agent: str, device_id: str, request_id: str) -> dict[str, str]:
    """Return the headers that the web application sends with every request (captured 2026-09)."""
    return {
        "App-Name": "chatglm",
        "X-App-Platform": "pc",
        "X-App-Version": app_version,
        "X-App-fr": "default",
        "X-Lang": "zh",
        "X-Device-Id": device_id,
        "X-Device-Model": "",
        "X-Device-Brand": "",
        "X-Request-Id": request_id,
        "Origin": "https://chatglm.cn",
        "Accept": "application/json, text/plain, */*",
        "User-Agent": user_agent,
    }


def chat_body(
    prompt: str,
    target: Target,
    *,
    assistant_id: str,
    conversation_id: str,
    files: tuple[FileReference, ...] = (),
) -> bytes:
    """Build a chat turn (captured 2026-09-29). The upstream keeps the history, and reads one user message."""
    chat_mode, reasoning_effort = _CHAT_MODES[target.mode]
    effort = {} if reasoning_effort is None else {"reasoning_effort": reasoning_effort}
    return msgspec.json.encode(
        {
            "assistant_id": assistant_id,
            "conversation_id": conversation_id,
            "project_id": "",
            "chat_type": "user_chat",
            "meta_data": {
                "cogview": target.drawing.cogview() if target.drawing else {"rm_label_watermark": False},
                "is_test": False,
                "input_question_type": "xxxx",
                "channel": "",
                "draft_id": "",
                "chat_mode": chat_mode,
                **effort,
                "selected_model": target.model,
                "is_networking": target.web_search,
                "quote_log_id": "",
                "platform": "pc",
            },
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": prompt}, *_file_items(files)]}
            ],
        }
    )


def _file_items(files: tuple[FileReference, ...]) -> list[dict[str, Any]]:
    """Write references to files: one item for all images, one for all others. The text comes first."""
    images = [
        {**_numbered(file, order), "image_url": file.url, "width": 0, "height": 0}
        for order, file in enumerate(file for file in files if file.is_image)
    ]
    others = [
        {**_numbered(file, order), "file_url": file.url}
        for order, file in enumerate(file for file in files if not file.is_image)
    ]
    items: list[dict[str, Any]] = [{"type": "image", "image": images}, {"type": "file", "file": others}]
    return [item for item in items if item[item["type"]]]


def _numbered(file: FileReference, order: int) -> dict[str, Any]:
    return {"file_id": file.file_id, "file_name": file.name, "file_size": file.size, "order": order}


def intervention_text(event: Event) -> str:
    """Return the words of moderation that replace a withdrawn answer."""
    for said in (event.last_error, event.error):
        if isinstance(said, dict) and isinstance(said.get("intervene_text"), str):
            return str(said["intervene_text"])
    return ""


def intercepted_calls(item: Item) -> list[InterceptedCall]:
    """Return the calls in a `tool_calls` or `tool_result` item; a result makes each an answered one.

    Two forms of a result were observed: it repeats the call (2026-08), or it names the call's id (2026-10).
    """
    result = _result_text(item) if item.type == "tool_result" else ""
    calls = item.tool_calls if isinstance(item.tool_calls, list) else [item.tool_calls]
    found = [_intercepted(call, result) for call in calls if isinstance(call, dict) and call.get("name")]
    if not found and isinstance(item.tool_result, dict):
        return [InterceptedCall("", "", _text_or_none(item.tool_result.get("id")) or "", result)]
    return found


def _intercepted(call: dict[str, Any], result: str) -> InterceptedCall:
    arguments = call.get("arguments")
    if not isinstance(arguments, str):
        arguments = "{}" if arguments is None else json.dumps(arguments, ensure_ascii=False)
    name, call_id = str(call["name"]), _text_or_none(call.get("id")) or ""
    return InterceptedCall(whole_characters(name), whole_characters(arguments), call_id, result)


def _result_text(item: Item) -> str:
    content = item.tool_result.get("content") if isinstance(item.tool_result, dict) else item.content
    return whole_characters(content[:MAX_RESULT_CHARS]) if isinstance(content, str) and content else "failed"


def image_urls(item: Item) -> list[str]:
    """Return the addresses in an `image` item, tolerating entries of other shapes."""
    images = item.image if isinstance(item.image, list) else []
    urls = [image.get("image_url") for image in images if isinstance(image, dict)]
    return [url for url in urls if isinstance(url, str) and url]
