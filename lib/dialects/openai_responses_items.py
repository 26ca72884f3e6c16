"""The items of a response's output, as OpenAI's SDK reads them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Literal, assert_never

import msgspec
from msgspec import UNSET, UnsetType

from lib.chat.answer import CallItem, Item, PlacedSource, ReasoningItem, TextItem
from lib.chat.events import Citation, Finished, ToolCallDelta
from lib.dialects.openai_responses_request import AskedResponse

Status = Literal["in_progress", "completed", "incomplete"]


class SearchItem:
    """The search behind an answer's sources. The upstream does not say the words that it searched for."""

    def __init__(self) -> None:
        self.citations: list[Citation] = []


OutputItem = TextItem | ReasoningItem | CallItem | SearchItem


class Annotation(msgspec.Struct, kw_only=True):
    type: Literal["url_citation"] = "url_citation"
    start_index: int
    """In characters of the item's text. Both are its length if the source has no place in it."""
    end_index: int
    url: str
    title: str


class OutputText(msgspec.Struct, kw_only=True):
    type: Literal["output_text"] = "output_text"
    text: str = ""
    annotations: list[Annotation] = []
    logprobs: list[Any] = []


class SummaryText(msgspec.Struct, kw_only=True):
    type: Literal["summary_text"] = "summary_text"
    text: str = ""


class _Message(msgspec.Struct, kw_only=True):
    id: str
    type: Literal["message"] = "message"
    status: Status
    role: Literal["assistant"] = "assistant"
    content: list[OutputText]


class _Reasoning(msgspec.Struct, kw_only=True):
    id: str
    type: Literal["reasoning"] = "reasoning"
    status: Status
    summary: list[SummaryText]
    encrypted_content: str | UnsetType


class _FunctionCall(msgspec.Struct, kw_only=True):
    id: str
    type: Literal["function_call"] = "function_call"
    status: Status
    call_id: str
    name: str
    namespace: str | UnsetType
    arguments: str


class _CustomCall(msgspec.Struct, kw_only=True):
    id: str
    type: Literal["custom_tool_call"] = "custom_tool_call"
    status: Status
    call_id: str
    name: str
    namespace: str | UnsetType
    input: str


class _ShellAction(msgspec.Struct, kw_only=True):
    type: Literal["exec"] = "exec"
    command: list[str]
    env: dict[str, str] = {}
    timeout_ms: int | None = None
    working_directory: str | None = None


class _ShellCall(msgspec.Struct, kw_only=True):
    id: str
    type: Literal["local_shell_call"] = "local_shell_call"
    status: Status
    call_id: str
    action: _ShellAction


class _UrlSource(msgspec.Struct, kw_only=True):
    type: Literal["url"] = "url"
    url: str


class _SearchAction(msgspec.Struct, kw_only=True):
    type: Literal["search"] = "search"
    query: str = ""
    sources: list[_UrlSource] | UnsetType


class _SearchCall(msgspec.Struct, kw_only=True):
    id: str
    type: Literal["web_search_call"] = "web_search_call"
    status: Status
    action: _SearchAction


WireItem = _Message | _Reasoning | _FunctionCall | _CustomCall | _ShellCall | _SearchCall


def item_id(item: OutputItem, response_id: str, index: int) -> str:
    """Name an item: the same reply gives the same ids, streamed or not."""
    digest = hashlib.sha256(response_id.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{_prefix(item)}_{digest[:24]}{index:04x}"


def built(item: OutputItem, name: str, asked: AskedResponse, status: Status) -> WireItem:
    """Write an item as it is now. One in progress shows no content yet."""
    match item:
        case TextItem():
            content = [] if status == "in_progress" else [output_text(item)]
            return _Message(id=name, status=status, content=content)
        case ReasoningItem():
            return _reasoning(item, name, status)
        case CallItem():
            return _call(item, name, asked, status)
        case SearchItem():
            return _search(item, name, asked, status)
        case _:
            assert_never(item)


def begun_call(event: ToolCallDelta) -> CallItem:
    """Make the item of a call that has no arguments yet."""
    item = CallItem(event.index)
    item.id, item.name = event.id or "", event.name or ""
    return item


def with_search(items: Iterable[Item]) -> list[OutputItem]:
    """Add the search of an answer that has sources, after the text that names the first."""
    output: list[OutputItem] = []
    search: SearchItem | None = None
    for item in items:
        output.append(item)
        if not isinstance(item, TextItem):
            continue
        for source in item.track.sources():
            if search is None:
                output.append(search := SearchItem())
            search.citations.append(source.citation)
    return output


def output_of(
    items: Sequence[OutputItem], response_id: str, asked: AskedResponse, end: Finished
) -> list[WireItem]:
    """Write the items of a reply that has its ending. A limit cuts the text or the reasoning that is last."""
    last = next((item for item in reversed(items) if not isinstance(item, SearchItem)), None)
    is_cut = end.reason in ("length", "content_filter")
    cut = last if is_cut and not isinstance(last, CallItem) else None
    return [
        built(item, item_id(item, response_id, index), asked, "incomplete" if item is cut else "completed")
        for index, item in enumerate(items)
    ]


def ordered_sources(item: TextItem) -> list[PlacedSource]:
    """Return the sources of a text: those with a place in it first, as a stream can say them."""
    return sorted(item.track.sources(), key=lambda source: not source.citation.marked)


def output_text(item: TextItem) -> OutputText:
    return OutputText(text=item.text, annotations=[annotation(source) for source in ordered_sources(item)])


def annotation(source: PlacedSource) -> Annotation:
    citation = source.citation
    return Annotation(start_index=source.start, end_index=source.end, url=citation.url, title=citation.title)


def free_text(arguments: str) -> str:
    """Return the text of a free-form call: inside the gateway it is `{"input": text}`."""
    value = _decoded(arguments)
    text = value.get("input") if isinstance(value, dict) else None
    return text if isinstance(text, str) else arguments


def _prefix(item: OutputItem) -> str:
    match item:
        case TextItem():
            return "msg"
        case ReasoningItem():
            return "rs"
        case SearchItem():
            return "ws"
        case CallItem():
            return "fc"
        case _:
            assert_never(item)


def _reasoning(item: ReasoningItem, name: str, status: Status) -> _Reasoning:
    has_content = status != "in_progress"
    # OpenAI gives this by default (its reference, 2026-11), and clients without `store` send it back in place
    # of the reasoning. No model here reads it: it holds the item's name.
    sealed = base64.urlsafe_b64encode(b"glm-gateway reasoning " + name.encode()).decode()
    return _Reasoning(
        id=name,
        status=status,
        summary=[SummaryText(text=item.text)] if has_content else [],
        encrypted_content=sealed if has_content else UNSET,
    )


def _call(item: CallItem, name: str, asked: AskedResponse, status: Status) -> WireItem:
    tool = asked.toolbox.wire(item.name)
    namespace = UNSET if tool.namespace is None else tool.namespace
    match tool.kind:
        case "function":
            return _FunctionCall(
                id=name,
                status=status,
                call_id=item.id,
                name=tool.name,
                namespace=namespace,
                arguments=item.arguments,
            )
        case "custom":
            text = free_text(item.arguments)
            return _CustomCall(
                id=name, status=status, call_id=item.id, name=tool.name, namespace=namespace, input=text
            )
        case "local_shell":
            action = _shell_action(item.arguments)
            return _ShellCall(id=name, status=status, call_id=item.id, action=action)
        case _:
            assert_never(tool.kind)


def _shell_action(arguments: str) -> _ShellAction:
    value = _decoded(arguments)
    given = value if isinstance(value, dict) else {}
    command, timeout_ms, folder = (given.get(key) for key in ("command", "timeout_ms", "working_directory"))
    if isinstance(command, str):
        command = ["bash", "-lc", command]  # models write a shell's line if a tool asks for a command
    words = command if isinstance(command, list) else []
    return _ShellAction(
        command=[word if isinstance(word, str) else str(word) for word in words],
        timeout_ms=timeout_ms if isinstance(timeout_ms, int) else None,
        working_directory=folder if isinstance(folder, str) else None,
    )


def _search(item: SearchItem, name: str, asked: AskedResponse, status: Status) -> _SearchCall:
    urls = dict.fromkeys(citation.url for citation in item.citations)
    sources = [_UrlSource(url=url) for url in urls] if asked.has_search_sources else UNSET
    return _SearchCall(id=name, status=status, action=_SearchAction(sources=sources))


def _decoded(arguments: str) -> object:
    try:
        return msgspec.json.decode(arguments)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None
