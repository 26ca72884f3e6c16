"""A chat's messages as the official API takes them (official.md §2.1 and §13, 2026-11)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lib.chat.request import Attachment, ChatRequest, FilePart, ImagePart, Message, TextPart, ToolCall
from lib.errors import InvalidRequest
from lib.upstreams.official.wire.models import Model

Json = dict[str, Any]

NO_RESULT = "(There is no result of this call.)"
"""The API wants a result of each call, and clients drop some."""

_SYSTEM = ("system", "developer")
_ASSISTANT_SHOWS = "The assistant's message shows:"


def write_messages(chat: ChatRequest, model: Model) -> list[Json]:
    """Raise InvalidRequest for an attachment that the model does not take. Nothing is left out silently."""
    _refuse_attachments(chat.messages, model)
    system = [message.text for message in chat.messages if message.role in _SYSTEM]
    if chat.closing:
        system.append(chat.closing)
    # One system message at the front is the form that every version of the API takes.
    head = [{"role": "system", "content": "\n\n".join(filter(None, system))}] if any(system) else []
    body = list(_conversation(chat.messages))
    if any(message["role"] in ("user", "tool") for message in body):
        return [*head, *body]
    # The API refuses a list without any word of a user's.
    return [*[{**message, "role": "user"} for message in head], *body] if not body else [*head, *body, _GO_ON]


_GO_ON: Json = {"role": "user", "content": "Continue."}


def _refuse_attachments(messages: Sequence[Message], model: Model) -> None:
    attached = [part for message in messages for part in message.parts if not isinstance(part, TextPart)]
    if not attached:
        return
    if model.is_known and not model.sees:
        what = "images" if isinstance(attached[0], ImagePart) else "files"
        raise InvalidRequest(
            f"The model {model.id} takes no {what}. Send text, or ask one that does: glm-4.6v-flash.",
            param=attached[0].param,
        )
    if len({type(part) for part in attached}) > 1:
        message = "The official API takes files or images in one request, and not both."
        raise InvalidRequest(message, param=attached[-1].param)


def _conversation(messages: Sequence[Message]) -> Iterator[Json]:
    """Write the turns. The results of an assistant's calls follow it at once, each with its call's id."""
    position = 0
    made = 0
    while position < len(messages):
        message = messages[position]
        position += 1
        if message.role != "assistant":
            yield from _said_without_call(message)
            continue
        calls = list(_with_ids(message.tool_calls, made))
        made += len(calls)
        yield _assistant(message, calls)
        if not calls:
            yield from _shown(message, _ASSISTANT_SHOWS)
        else:
            end = _end_of_turn(messages, position)
            results, others = _paired(calls, message.tool_calls, messages[position:end])
            yield from _results(calls, results)
            yield from _shown(message, _ASSISTANT_SHOWS)
            yield from _after_results(calls, results, others)
            position = end


def _with_ids(calls: Sequence[ToolCall], made: int) -> Iterator[ToolCall]:
    """Name the calls of the older form, which have no id, and the ones whose id another call has."""
    taken: set[str] = set()
    for number, call in enumerate(calls, made + 1):
        is_good = call.id and call.id not in taken
        named = call if is_good else ToolCall(f"call_{number}", call.name, call.arguments)
        taken.add(named.id)
        yield named


def _end_of_turn(messages: Sequence[Message], start: int) -> int:
    """Return the place of the next assistant's message, or the end."""
    places = (place for place in range(start, len(messages)) if messages[place].role == "assistant")
    return next(places, len(messages))


def _results(calls: Sequence[ToolCall], results: Mapping[str, Message]) -> Iterator[Json]:
    for call in calls:
        result = results.get(call.id)
        text = NO_RESULT if result is None else _result_text(result)
        yield {"role": "tool", "tool_call_id": call.id, "content": text}


def _after_results(
    calls: Sequence[ToolCall], results: Mapping[str, Message], others: Sequence[Message]
) -> Iterator[Json]:
    for call in calls:
        if (result := results.get(call.id)) is not None:
            yield from _shown(result, f"The result of {call.name} shows:")
    for message in others:
        yield from _said_without_call(message)


def _shown(message: Message, words: str) -> Iterator[Json]:
    """Write the attachments of a message as the user's: only the user's messages can have some."""
    if shown := _attachments(message):
        yield _user(Message("user", (TextPart(words), *shown)))


def _paired(
    calls: Sequence[ToolCall], asked: Sequence[ToolCall], answers: Sequence[Message]
) -> tuple[dict[str, Message], list[Message]]:
    """Find the result of each call: by the client's id, or by the order if the client names none."""
    results: dict[str, Message] = {}
    others: list[Message] = []
    for message in answers:
        open_calls = (
            call.id
            for call, before in zip(calls, asked, strict=True)
            if call.id not in results and message.tool_call_id in (None, "", before.id, call.id)
        )
        if message.role == "tool" and (call_id := next(open_calls, "")):
            results[call_id] = message
        else:
            others.append(message)
    return results, others


def _said_without_call(message: Message) -> Iterator[Json]:
    """Write a user's message. If a result has no call, the user says it.

    The text of a system message is at the front already.
    """
    if message.role in _SYSTEM:
        yield from _shown(message, "The system message shows:")
        return
    if message.role != "tool":
        if message.parts:
            yield _user(message)
        return
    name = f" of {message.name}" if message.name else ""
    words = TextPart(f"The result{name}:\n{_result_text(message)}")
    yield _user(Message("user", (words, *_attachments(message))))


def _assistant(message: Message, calls: Sequence[ToolCall]) -> Json:
    written: Json = {"role": "assistant", "content": message.text}
    if calls:
        # The vendor wants the reasoning of a turn with calls back, unchanged.
        if message.reasoning:
            written["reasoning_content"] = message.reasoning
        written["tool_calls"] = [_call(call) for call in calls]
    return written


def _call(call: ToolCall) -> Json:
    # An empty name is refused for the rest of the session (seen 2026).
    function = {"name": call.name or "unknown", "arguments": call.arguments or "{}"}
    return {"id": call.id, "type": "function", "function": function}


def _result_text(message: Message) -> str:
    return f"Error: {message.text}" if message.is_error else message.text


def _attachments(message: Message) -> tuple[Attachment, ...]:
    return tuple([part for part in message.parts if not isinstance(part, TextPart)])


def _user(message: Message) -> Json:
    """Write text as a string: the templates of text models drop lists silently (2026-04)."""
    if not _attachments(message):
        return {"role": "user", "content": message.text}
    return {"role": "user", "content": [_part(part) for part in message.parts]}


def _part(part: TextPart | Attachment) -> Json:
    match part:
        case TextPart(text):
            return {"type": "text", "text": text}
        case ImagePart(url):
            return {"type": "image_url", "image_url": {"url": url}}
        case FilePart(url, name):
            return {"type": "file", "file": _file(url, name)}


def _file(url: str, name: str | None) -> Json:
    named = {"filename": name} if name else {}
    if url[:5].lower() == "data:":
        return {"file_data": url.partition(",")[2], **named}
    return {"file_url": url, **named}
