"""The chunks of an answer (official.md §4), and the whole answer that they add up to (§3)."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from simulator.agent.syntaxes import Call
from simulator.steps import PACE, Json, Step, cut

DONE = b"data: [DONE]\n\n"


def new_call_id(form: str = "call") -> str:
    """Make a call's id in one of the forms that were seen."""
    digits = uuid.uuid4()
    match form:
        case "negative":
            return f"call_-{digits.int % 10**19}"
        case "date":
            return f"call_20261128{digits.hex[:20]}_0"
        case _:
            return f"call_{digits.hex[:22]}"


@dataclass(slots=True)
class Script:
    """Write the chunks of one answer."""

    model: str
    prompt_tokens: int
    id: str = field(default_factory=lambda: f"20261128{uuid.uuid4().hex[:22]}")
    created: int = 1_796_000_000
    said: int = 0
    """The number of tokens so far, counted roughly."""

    def chunk(self, delta: Json, **fields: Any) -> Json:
        """Make one chunk; every delta carries the role. `object` came with 5.x (seen 2026-02)."""
        choice: Json = {"index": 0, "delta": {"role": "assistant", **delta}}
        choice |= {name: fields.pop(name) for name in ("finish_reason",) if name in fields}
        kind = {"object": "chat.completion.chunk"} if self.model.startswith("glm-5") else {}
        return {
            "id": self.id,
            "created": self.created,
            **kind,
            "model": self.model,
            "choices": [choice],
        } | fields

    def write(self, text: str, *, kind: str = "content", step: int = 0) -> Iterator[Step]:
        for piece in cut(text, step):
            self.said += 1
            yield self.chunk({kind: piece})
            yield PACE

    def call(self, call: Call, number: int, *, call_id: str, fragments: int, form: str) -> Iterator[Step]:
        """Write a call: in one chunk with index -1, or in fragments if `tool_stream` is on."""
        self.said += 5
        if not fragments:
            arguments: Any = dict(call.arguments) if form == "object" else call.json
            function = {"name": call.tool, "arguments": arguments}
            whole = {"id": call_id, "index": -1, "type": "function", "function": function}
            yield self.chunk({"tool_calls": [whole]}, finish_reason="tool_calls")
            return
        first = {"name": call.tool, "arguments": ""}
        yield self.chunk(
            {"tool_calls": [{"id": call_id, "index": number, "type": "function", "function": first}]}
        )
        for piece in cut(call.json, fragments):
            yield self.chunk(
                {"tool_calls": [{"index": number, "function": {"name": "", "arguments": piece}}]}
            )
            yield PACE

    def finish(self, reason: str = "stop") -> Iterator[Step]:
        """Write the last chunk, with the usage, and `[DONE]`."""
        yield self.chunk({"content": ""}, finish_reason=reason, usage=self.usage())
        yield DONE

    def usage(self) -> Json:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.said,
            "total_tokens": self.prompt_tokens + self.said,
            "prompt_tokens_details": {"cached_tokens": 0},
        }


def encode_chunk(chunk: Json) -> bytes:
    return b"data: %b\n\n" % msgspec.json.encode(chunk)


def join_chunks(chunks: Iterable[Json]) -> Json:
    """Add chunks up to the answer that is not streamed."""
    whole: Json = {}
    message: Json = {"role": "assistant", "content": ""}
    reason = None
    for chunk in chunks:
        if "error" in chunk:
            return chunk
        whole |= {key: value for key, value in chunk.items() if key not in ("choices", "object")}
        choice = chunk["choices"][0]
        reason = choice.get("finish_reason") or reason
        _add_delta(message, choice["delta"])
    choice = {"index": 0, "finish_reason": reason, "message": message}
    return whole | {"request_id": whole.get("id", ""), "choices": [choice]}


def _add_delta(message: Json, delta: Json) -> None:
    for name in ("content", "reasoning_content"):
        if delta.get(name):
            message[name] = message.get(name, "") + delta[name]
    for part in delta.get("tool_calls", ()):
        calls = message.setdefault("tool_calls", [])
        if "id" in part:
            calls.append({"id": part["id"], "type": "function", "function": dict(part["function"])})
        else:
            calls[-1]["function"]["arguments"] += part["function"]["arguments"]
