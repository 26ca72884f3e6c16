"""Reading Anthropic's streams as the official SDKs do: by the names of the events, block by block."""

from __future__ import annotations

import json
from typing import Any


def events_of(streamed: bytes) -> list[tuple[str, dict[str, Any]]]:
    """Take a stream apart: every record is a name and its data, and the data repeats the name."""
    records = streamed.decode().split("\n\n")
    assert records.pop() == "", f"the stream does not end with a whole record: {streamed[-80:]!r}"
    found = []
    for record in records:
        name, data = record.split("\n")
        payload: dict[str, Any] = json.loads(data.removeprefix("data: "))
        assert payload["type"] == name.removeprefix("event: ")
        found.append((payload["type"], payload))
    return found


class Built:
    """The message that a stream builds. Reading it checks the order of the events."""

    def __init__(self, streamed: bytes) -> None:
        self.message: dict[str, Any] = {}
        self.error: dict[str, Any] | None = None
        self.pings = 0
        self.is_complete = False
        self._open: int | None = None
        self._json = ""
        for name, payload in events_of(streamed):
            assert not self.is_complete, f"{name} follows the end"
            assert self.error is None, f"{name} follows the error"
            getattr(self, f"_{name}")(payload)

    @property
    def content(self) -> list[dict[str, Any]]:
        blocks: list[dict[str, Any]] = self.message["content"]
        return blocks

    @property
    def text(self) -> str:
        return "".join(b["text"] for b in self.message.get("content", ()) if b["type"] == "text")

    def _ping(self, _: dict[str, Any]) -> None:
        self.pings += 1

    def _error(self, payload: dict[str, Any]) -> None:
        self.error = payload

    def _message_start(self, payload: dict[str, Any]) -> None:
        assert not self.message
        self.message = payload["message"]
        assert self.message["content"] == []

    def _content_block_start(self, payload: dict[str, Any]) -> None:
        assert self._open is None, "the block before is still open"
        assert payload["index"] == len(self.content)
        self._open, self._json = payload["index"], ""
        self.content.append(payload["content_block"])

    def _content_block_delta(self, payload: dict[str, Any]) -> None:
        assert payload["index"] == self._open
        block, delta = self.content[-1], payload["delta"]
        match delta["type"]:
            case "text_delta":
                block["text"] += delta["text"]
            case "thinking_delta":
                block["thinking"] += delta["thinking"]
            case "signature_delta":
                block["signature"] += delta["signature"]
            case "citations_delta":
                block.setdefault("citations", []).append(delta["citation"])
            case "input_json_delta":
                self._json += delta["partial_json"]
            case unknown:
                raise AssertionError(unknown)

    def _content_block_stop(self, payload: dict[str, Any]) -> None:
        assert payload["index"] == self._open
        if self._json:
            self.content[-1]["input"] = json.loads(self._json)
        self._open = None

    def _message_delta(self, payload: dict[str, Any]) -> None:
        assert self._open is None
        self.message |= {**payload["delta"], "usage": payload["usage"]}

    def _message_stop(self, _: dict[str, Any]) -> None:
        self.is_complete = True
