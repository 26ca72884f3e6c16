"""The body of POST /v1/responses, as OpenAI documents it and as clients really send it.

Fields that are not listed here are ignored, whatever their type.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from lib.chat.request import ChatRequest, Effort, JsonFormat
from lib.dialects.fields import read_effort, read_limit, read_model
from lib.dialects.interface import Address
from lib.dialects.json_body import convert, decode_body, invalid_value, missing_field, unsupported
from lib.dialects.openai_responses_input import read_input
from lib.dialects.openai_responses_tools import Toolbox, echoed_tools, read_choice, read_tools
from lib.dialects.tool_checks import check_tools

_SOURCES = "web_search_call.action.sources"


class _Reasoning(msgspec.Struct):
    effort: str | None = None
    summary: Any = None
    generate_summary: Any = None
    """The older name of `summary`."""


class _Text(msgspec.Struct):
    format: dict[str, Any] | None = None
    verbosity: Any = None


class _JsonSchema(msgspec.Struct):
    schema: dict[str, Any] | None = None
    name: str | None = None
    strict: bool | None = None


class _Format(msgspec.Struct):
    type: str
    schema: dict[str, Any] | None = None
    name: str | None = None
    strict: bool | None = None
    json_schema: _JsonSchema | None = None
    """The form that /v1/chat/completions takes."""


class _Body(msgspec.Struct):
    input: str | list[dict[str, Any]] | None = None
    model: str | None = None
    instructions: str | None = None
    stream: bool | None = None
    store: bool | None = None
    previous_response_id: str | None = None
    background: bool | None = None
    conversation: Any = None
    prompt: Any = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: int | float | None = None
    max_output_tokens: int | float | None = None
    reasoning: _Reasoning | None = None
    include: list[str] | None = None
    text: _Text | None = None
    metadata: Any = None
    service_tier: Any = None
    prompt_cache_key: Any = None
    prompt_cache_retention: Any = None
    safety_identifier: Any = None
    user: Any = None
    truncation: Any = None
    temperature: Any = None
    top_p: Any = None
    top_logprobs: Any = None
    presence_penalty: Any = None
    frequency_penalty: Any = None


_decoder = msgspec.json.Decoder(_Body)


class _EchoedReasoning(msgspec.Struct):
    effort: Effort | None
    summary: Any


class _EchoedText(msgspec.Struct):
    format: dict[str, Any]
    verbosity: Any


class Echo(msgspec.Struct, kw_only=True):
    """The fields of the request that the answer repeats, with OpenAI's defaults for the absent ones."""

    background: Literal[False] = False
    conversation: None = None
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    metadata: Any
    parallel_tool_calls: bool
    previous_response_id: str | None
    prompt_cache_key: Any
    prompt_cache_retention: Any
    reasoning: _EchoedReasoning
    safety_identifier: Any
    service_tier: Any
    store: bool
    temperature: Any
    text: _EchoedText
    tool_choice: str | dict[str, Any]
    tools: list[dict[str, Any]]
    top_logprobs: Any
    top_p: Any
    presence_penalty: Any
    frequency_penalty: Any
    truncation: Any
    user: Any


class AskedResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A chat, and the form in which this dialect answers it."""

    chat: ChatRequest
    stream: bool = False
    previous_response_id: str | None = None
    """As the client wrote it. The chat names no conversation: only the gateway's edge can open this id."""
    toolbox: Toolbox = Toolbox()
    has_search_sources: bool = False
    echo: bytes = b'"store":false'
    """The members of the answer that repeat the request: a stream says them three times."""
    ignored: tuple[str, ...] = ()
    """For the log: one word for each tool and item that nothing here knows."""


def parse(body: bytes, _address: Address) -> AskedResponse:
    """Raise InvalidRequest, and nothing else, for any mistake in the body."""
    wire = decode_body(body, _decoder)
    _refuse_unsupported(wire)
    box = read_tools(wire.tools or ())
    chosen = read_choice(wire.tool_choice, box)
    if wire.input is None:
        raise missing_field("input")
    is_continued = bool(wire.previous_response_id)
    conversation = read_input(wire.input, wire.instructions, box, is_continued=is_continued)
    chat = ChatRequest(
        model=read_model(wire.model),
        messages=conversation.messages,
        max_tokens=read_limit(wire.max_output_tokens, "max_output_tokens"),
        effort=read_effort(wire.reasoning.effort if wire.reasoning else None, "reasoning.effort"),
        web_search=chosen.web_search,
        store=bool(wire.store) or is_continued,
        tools=box.tools,
        tool_choice=chosen.choice,
        parallel_tool_calls=wire.parallel_tool_calls is not False,
        json_format=_json_format(wire.text),
    )
    check_tools(chat, box.places, format_at=_schema_place(wire.text))
    return _asked(wire, chat, box, conversation.ignored)


def _asked(wire: _Body, chat: ChatRequest, box: Toolbox, ignored: Sequence[str]) -> AskedResponse:
    return AskedResponse(
        chat=chat,
        stream=bool(wire.stream),
        previous_response_id=wire.previous_response_id or None,
        toolbox=box,
        has_search_sources=_SOURCES in (wire.include or ()),
        echo=msgspec.json.encode(_echo(wire, chat))[1:-1],
        ignored=(*box.ignored, *ignored),
    )


def _refuse_unsupported(wire: _Body) -> None:
    """Refuse the fields that change where the answer is, or the question."""
    if wire.background:
        raise unsupported(
            "background", "an answer is made while its request waits; send stream: true instead"
        )
    if wire.conversation is not None:
        what = "conversations have no objects here; go on with previous_response_id, after store: true"
        raise unsupported("conversation", what)
    if wire.prompt is not None:
        raise unsupported("prompt", "no prompts are kept here; send their text as instructions or input")


def _json_format(wire: _Text | None) -> JsonFormat | None:
    if wire is None or wire.format is None:
        return None
    form = convert(wire.format, _Format, "text.format")
    match form.type:
        case "text":
            return None
        case "json_object":
            return JsonFormat()
        case "json_schema":
            named = form.json_schema or _JsonSchema(form.schema, form.name, form.strict)
            if named.schema is None:
                raise missing_field("text.format.schema")
            return JsonFormat(schema=named.schema, name=named.name or "", strict=bool(named.strict))
        case _:
            raise invalid_value("text.format.type", "text, json_object or json_schema", form.type)


def _schema_place(wire: _Text | None) -> str:
    is_nested = wire is not None and wire.format is not None and "json_schema" in wire.format
    return f"text.format.{'json_schema.' if is_nested else ''}schema"


def _echo(wire: _Body, chat: ChatRequest) -> Echo:
    reasoning, text = wire.reasoning or _Reasoning(), wire.text or _Text()
    return Echo(
        instructions=wire.instructions,
        max_output_tokens=chat.max_tokens,
        max_tool_calls=read_limit(wire.max_tool_calls, "max_tool_calls"),
        metadata=_or(wire.metadata, {}),
        parallel_tool_calls=chat.parallel_tool_calls,
        previous_response_id=wire.previous_response_id or None,
        prompt_cache_key=wire.prompt_cache_key,
        prompt_cache_retention=wire.prompt_cache_retention,
        reasoning=_EchoedReasoning(chat.effort, reasoning.summary or reasoning.generate_summary),
        safety_identifier=wire.safety_identifier,
        service_tier=_or(wire.service_tier, "default"),
        store=chat.store,
        temperature=_or(wire.temperature, 1.0),
        text=_EchoedText(_or(text.format, {"type": "text"}), _or(text.verbosity, "medium")),
        tool_choice=wire.tool_choice or "auto",
        tools=echoed_tools(wire.tools or ()),
        top_logprobs=_or(wire.top_logprobs, 0),
        top_p=_or(wire.top_p, 1.0),
        presence_penalty=_or(wire.presence_penalty, 0.0),
        frequency_penalty=_or(wire.frequency_penalty, 0.0),
        truncation=_or(wire.truncation, "disabled"),
        user=wire.user,
    )


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value
