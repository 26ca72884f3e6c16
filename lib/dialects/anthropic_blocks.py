"""The blocks of an answer in Anthropic's form, and the stream's events that open, fill and close them."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from lib import sse
from lib.chat.events import Citation

encode = msgspec.json.Encoder().encode


class SourcePlace(msgspec.Struct, tag_field="type", tag="web_search_result_location"):
    """A source of the text. The upstream tells no quotation, and nothing here is encrypted."""

    url: str
    title: str
    encrypted_index: str = ""
    cited_text: str = ""


class TextBlock(msgspec.Struct, tag_field="type", tag="text"):
    text: str
    citations: list[SourcePlace] | UnsetType = UNSET


class ThinkingBlock(msgspec.Struct, tag_field="type", tag="thinking"):
    thinking: str
    signature: str


class ToolUseBlock(msgspec.Struct, tag_field="type", tag="tool_use"):
    id: str
    name: str
    input: msgspec.Raw
    """A JSON object."""


class SearchBlock(msgspec.Struct, tag_field="type", tag="server_tool_use"):
    id: str
    input: dict[str, str]
    name: Literal["web_search"] = "web_search"


class SearchHit(msgspec.Struct, tag_field="type", tag="web_search_result"):
    url: str
    title: str
    encrypted_content: str = ""
    page_age: None = None


class SearchResultBlock(msgspec.Struct, tag_field="type", tag="web_search_tool_result"):
    tool_use_id: str
    content: list[SearchHit]


SearchPart = SearchBlock | SearchResultBlock
AnswerBlock = TextBlock | ThinkingBlock | ToolUseBlock | SearchPart


def signature(message_id: str, index: int) -> str:
    """Sign a thinking block. Clients send the signature back, and the gateway does not read it."""
    return base64.b64encode(f"{message_id}:{index}".encode()).decode()


def places(citations: Iterable[Citation]) -> list[SourcePlace]:
    return [SourcePlace(citation.url, citation.title) for citation in once(citations)]


def once(citations: Iterable[Citation]) -> list[Citation]:
    """Keep the first mention of each source."""
    first: dict[str, Citation] = {}
    for citation in citations:
        first.setdefault(citation.url, citation)
    return list(first.values())


def search_blocks(message_id: str, citations: Iterable[Citation]) -> list[SearchPart]:
    """Show the search as a call of Anthropic's own tool, with its results."""
    if not (found := once(citations)):
        return []
    call_id = f"srvtoolu_{message_id.removeprefix('msg_')}"
    hits = [SearchHit(citation.url, citation.title) for citation in found]
    # The upstream does not say for what it searched.
    return [SearchBlock(call_id, {"query": ""}), SearchResultBlock(call_id, hits)]


def named_event(name: bytes, payload: object) -> bytes:
    """Make an event. Without its name, the official SDKs pass over it."""
    return b"event: %b\n%b" % (name, sse.encode_data(encode(payload)))


class BlockWriter:
    """Writes blocks one after the other: each closes before the next one opens."""

    def __init__(self, message_id: str) -> None:
        self._message_id = message_id
        self._frames: list[bytes] = []
        self._index = -1
        self._open: str | int = ""
        """The kind of the open block, or the index of its call; empty if no block is open."""
        self._run = ""
        """The text of the open block that no frame has yet."""
        self._cited: set[str] = set()

    def take(self) -> bytes:
        """Return the frames since the last time."""
        self._flush()
        frames = b"".join(self._frames)
        self._frames.clear()
        return frames

    def text(self, text: str) -> None:
        if text:
            self._switch("text", b'{"type":"text","text":""}')
            self._run += text

    def cite(self, citation: Citation) -> None:
        """Add a source to the text block; its marker is text already."""
        self._switch("text", b'{"type":"text","text":""}')
        if citation.url not in self._cited:
            self._cited.add(citation.url)
            self._flush()
            place = _json(SourcePlace(citation.url, citation.title))
            self._delta(b'"type":"citations_delta","citation":' + place)

    def think(self, text: str, *, is_shown: bool) -> None:
        if text:
            self._switch("thinking", b'{"type":"thinking","thinking":"","signature":""}')
            self._run += text if is_shown else ""

    def call(self, index: int, call_id: str, name: str, arguments: str) -> None:
        block = ToolUseBlock(call_id, name, msgspec.Raw(b"{}"))
        self._switch(index, _json(block))
        self._run += arguments

    def search(self, citations: Iterable[Citation]) -> None:
        """Add the search that found these sources."""
        for block in search_blocks(self._message_id, citations):
            self.close()
            if isinstance(block, SearchBlock):
                self._switch("search", _json(msgspec.structs.replace(block, input={})))
                self._run = encode(block.input).decode()
            else:
                self._switch("result", _json(block))

    def close(self) -> None:
        """Close the open block, if there is one."""
        if self._open == "":
            return
        self._flush()
        if self._open == "thinking":
            signed = _json(signature(self._message_id, self._index))
            self._delta(b'"type":"signature_delta","signature":' + signed)
        self._frame(b"content_block_stop", b"")
        self._open = ""

    def _switch(self, kind: str | int, block: bytes) -> None:
        if self._open == kind:
            return
        self.close()
        self._open = kind
        self._index += 1
        self._cited.clear()
        self._frame(b"content_block_start", b',"content_block":' + block)

    def _flush(self) -> None:
        if not self._run:
            return
        text, self._run = _json(self._run), ""
        if self._open == "text":
            self._delta(b'"type":"text_delta","text":' + text)
        elif self._open == "thinking":
            self._delta(b'"type":"thinking_delta","thinking":' + text)
        else:
            self._delta(b'"type":"input_json_delta","partial_json":' + text)

    def _delta(self, delta: bytes) -> None:
        self._frame(b"content_block_delta", b',"delta":{' + delta + b"}")

    def _frame(self, name: bytes, rest: bytes) -> None:
        # Not by a struct: a stream has one for every few characters.
        self._frames.append(
            b'event: %b\ndata: {"type":"%b","index":%d%b}\n\n' % (name, name, self._index, rest)
        )


def _json(value: object) -> bytes:
    return sse.line_safe(encode(value))
