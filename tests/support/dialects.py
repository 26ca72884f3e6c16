"""The dialects of chats, as their clients meet them: how to ask, and how to read an answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import httpx

from tests.support.anthropic import Built
from tests.support.client import CHAT, Streamed, chat_body

Json = dict[str, Any]


class Said(NamedTuple):
    """An answer, or the part of it that came, in words that no dialect has for itself."""

    text: str = ""
    reason: str | None = None
    """stop, length, content_filter; None: the answer does not look complete."""
    code: str | None = None
    """The gateway's code of the error that ended it."""
    tokens: int | None = None
    """The completion's tokens, where the answer tells them."""


class Dialect(NamedTuple):
    """A dialect, in the eyes of a client."""

    name: str
    path: str
    """Of an answer that is not streamed; and of a stream, unless `stream_path` is another one."""
    body: Callable[[str, bool], Json]
    """Takes the prompt, and whether the answer is to be streamed."""
    limited: Callable[[Json, int], Json]
    """Adds a limit of tokens to a body."""
    read: Callable[[Json], Said]
    read_stream: Callable[[bytes], Said]
    code_of: Callable[[Json], str]
    """Reads the gateway's code from an error's body, whose form it checks."""
    heartbeat: bytes
    statuses: dict[str, int] = {}  # noqa: RUF012 - never changed
    """By code, the statuses that differ from the gateway's own."""
    stream_path: str = ""
    failure: str = ""
    """The one code that its streams have for every failure; empty: they have the gateway's own codes."""

    def path_of(self, *, is_stream: bool) -> str:
        return (is_stream and self.stream_path) or self.path

    def status(self, code: str, own: int) -> int:
        return self.statuses.get(code, own)


def _openai_code(body: Json) -> str:
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return str(body["error"]["code"])


def _read_chat(body: Json) -> Said:
    [choice] = body["choices"]
    tokens = body["usage"]["completion_tokens"]
    return Said(choice["message"]["content"], choice["finish_reason"], tokens=tokens)


def _read_chat_stream(raw: bytes) -> Said:
    streamed = Streamed(200, httpx.Headers(), raw)
    error = streamed.error
    assert streamed.is_done == (error is None)
    return Said(streamed.text, streamed.finish_reason, error["code"] if error else None)


_STOP_REASONS = {"end_turn": "stop", "max_tokens": "length", "refusal": "content_filter", None: None}


def _anthropic_code(body: Json) -> str:
    assert set(body) == {"type", "error", "request_id"}
    assert body["type"] == "error"
    assert body["request_id"]
    assert set(body["error"]) == {"type", "message", "code", "param"}
    return str(body["error"]["code"])


def _read_message(body: Json) -> Said:
    text = "".join(block["text"] for block in body["content"] if block["type"] == "text")
    return Said(text, _STOP_REASONS[body["stop_reason"]], tokens=body["usage"]["output_tokens"])


def _read_message_stream(raw: bytes) -> Said:
    built = Built(raw)
    if built.error:
        assert not built.is_complete
        return Said(built.text, code=_anthropic_code(built.error))
    assert built.is_complete
    return _read_message(built.message)


_INCOMPLETE = {"max_output_tokens": "length", "content_filter": "content_filter"}


def _read_response(body: Json) -> Said:
    parts = [part for item in body["output"] if item["type"] == "message" for part in item["content"]]
    text = "".join(part["text"] for part in parts)
    if body["status"] == "failed":
        return Said(text, code=body["error"]["code"])
    details = body["incomplete_details"]
    return Said(
        text, _INCOMPLETE[details["reason"]] if details else "stop", tokens=body["usage"]["output_tokens"]
    )


def _read_response_stream(raw: bytes) -> Said:
    records = [record for record in raw.decode().split("\n\n") if record and not record.startswith(":")]
    events = [json.loads(record.partition("data: ")[2]) for record in records]
    text = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    last = events[-1]
    if last["type"] == "error":
        return Said(text, code=last["code"])
    return _read_response(last["response"])._replace(text=text)


def _read_completion(body: Json) -> Said:
    [choice] = body["choices"]
    return Said(choice["text"], choice["finish_reason"], tokens=body["usage"]["completion_tokens"])


def _read_completion_stream(raw: bytes) -> Said:
    streamed = Streamed(200, httpx.Headers(), raw)
    error = streamed.error
    assert streamed.is_done == (error is None)
    choices = [choice for chunk in streamed.chunks for choice in chunk["choices"]]
    reason = choices[-1]["finish_reason"] if choices else None
    return Said("".join(choice["text"] for choice in choices), reason, error["code"] if error else None)


_FINISH_REASONS = {"STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "content_filter", None: None}


def google_code(body: Json) -> str:
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "status", "details"}
    info = body["error"]["details"][0]
    assert info["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    return str(info["reason"])


def read_google(body: Json) -> Said:
    [candidate] = body["candidates"]
    parts = [part for part in candidate["content"]["parts"] if "text" in part and not part.get("thought")]
    reason = _FINISH_REASONS[candidate.get("finishReason")]
    assert ("usageMetadata" in body) == (reason is not None)
    assert ("promptFeedback" in body) == (reason == "content_filter")
    tokens = body["usageMetadata"]["candidatesTokenCount"] if reason else None
    return Said("".join(part["text"] for part in parts), reason, tokens=tokens)


def _read_google_chunks(chunks: list[Json]) -> Said:
    error = google_code(chunks.pop()) if "error" in chunks[-1] else None
    said = [read_google(chunk) for chunk in chunks]
    last = said[-1] if said else Said()
    return last._replace(text="".join(one.text for one in said), code=error)


def read_google_events(raw: bytes) -> Said:
    records = [record for record in raw.decode().split("\n\n") if record.strip()]
    assert all(record.lstrip("\n").startswith("data: ") for record in records)
    return _read_google_chunks([json.loads(record.partition("data: ")[2]) for record in records])


def read_google_array(raw: bytes) -> Said:
    return _read_google_chunks(json.loads(raw))


def google_body(prompt: str, _is_stream: bool = False) -> Json:
    return {"contents": [{"role": "user", "parts": [{"text": prompt}]}]}


GOOGLE = "/v1beta/models/glm-5.3-flash"


def _google(name: str, *, stream_path: str, read_stream: Callable[[bytes], Said]) -> Dialect:
    return Dialect(
        name=name,
        path=f"{GOOGLE}:generateContent",
        stream_path=stream_path,
        body=google_body,
        limited=lambda body, tokens: body | {"generationConfig": {"maxOutputTokens": tokens}},
        read=read_google,
        read_stream=read_stream,
        code_of=google_code,
        heartbeat=b"\n\n\n",
    )


DIALECTS = [
    Dialect(
        name="openai chat",
        path=CHAT,
        body=lambda prompt, stream: chat_body(prompt, stream=stream),
        limited=lambda body, tokens: body | {"max_tokens": tokens},
        read=_read_chat,
        read_stream=_read_chat_stream,
        code_of=_openai_code,
        heartbeat=b": keep-alive\n\n",
    ),
    Dialect(
        name="openai responses",
        path="/v1/responses",
        body=lambda prompt, stream: {"model": "glm-5.3-flash", "input": prompt, "stream": stream},
        limited=lambda body, tokens: body | {"max_output_tokens": tokens},
        read=_read_response,
        read_stream=_read_response_stream,
        code_of=_openai_code,
        heartbeat=b": keep-alive\n\n",
        failure="server_error",
    ),
    Dialect(
        name="anthropic",
        path="/v1/messages",
        body=lambda prompt, stream: {**chat_body(prompt, stream=stream), "max_tokens": 32000},
        limited=lambda body, tokens: body | {"max_tokens": tokens},
        read=_read_message,
        read_stream=_read_message_stream,
        code_of=_anthropic_code,
        heartbeat=b'event: ping\ndata: {"type":"ping"}\n\n',
        statuses={"overloaded": 529, "shutting_down": 529},
    ),
    Dialect(
        name="openai completions",
        path="/v1/completions",
        body=lambda prompt, stream: {"model": "glm-5.3-flash", "prompt": prompt, "stream": stream},
        limited=lambda body, tokens: body | {"max_tokens": tokens},
        read=_read_completion,
        read_stream=_read_completion_stream,
        code_of=_openai_code,
        heartbeat=b": keep-alive\n\n",
    ),
    _google(
        "google events",
        stream_path=f"{GOOGLE}:streamGenerateContent?alt=sse",
        read_stream=read_google_events,
    ),
    _google("google array", stream_path=f"{GOOGLE}:streamGenerateContent", read_stream=read_google_array),
]
