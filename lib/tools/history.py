"""Earlier calls and results as plain text, in the syntax that is taught."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Generator, Mapping

import msgspec

from lib.chat.request import FilePart, ImagePart, Message, Part, TextPart, ToolCall
from lib.tools.budgets import Budgets, cut_end, cut_middle, on_one_line
from lib.tools.syntax import Syntax, replayed
from lib.tools.toolbox import MAX_NAME_CHARS, Declared, encoded
from lib.tools.words import RESULT

_CLOSER = re.compile(rf"<(?=/?{RESULT})", re.IGNORECASE)
NO_RESULT = "(no result was sent)"
NO_OUTPUT = "(no output)"
CALL_CHARS = 1_000
"""A call without arguments, or an empty result, takes as long as reading so many characters (0.1 ms)."""


class _Result(msgspec.Struct, frozen=True):
    header: str
    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        return sum(len(part.text) for part in self.parts if isinstance(part, TextPart))


class _Group(msgspec.Struct, frozen=True):
    """The results of one turn of the assistant's."""

    results: tuple[_Result, ...]


def tell(
    messages: tuple[Message, ...],
    earlier: tuple[Message, ...],
    *,
    syntax: Syntax,
    tools: Mapping[str, Declared],
    budgets: Budgets,
) -> Generator[int, None, tuple[Message, ...]]:
    """Rewrite calls and results as text. `earlier` are the messages that the upstream knows already.

    It yields after each call and result, with the number of characters that it has read.
    """
    if not any(message.tool_calls or message.role == "tool" for message in messages):
        return messages
    return (yield from _cut((yield from _grouped(messages, earlier, syntax, tools, budgets)), budgets))


def _grouped(
    messages: tuple[Message, ...],
    earlier: tuple[Message, ...],
    syntax: Syntax,
    tools: Mapping[str, Declared],
    budgets: Budgets,
) -> Generator[int, None, list[Message | _Group]]:
    told: list[Message | _Group] = []
    calls = _last_calls(earlier)
    start = 0
    for end in [*_assistant_turns(messages), len(messages)]:
        told += yield from _after_turn(messages[start:end], calls, tools, budgets)
        if end < len(messages):
            told.append((yield from _said(messages[end], syntax, tools)))
            calls = messages[end].tool_calls
        start = end + 1
    return told


def _assistant_turns(messages: tuple[Message, ...]) -> list[int]:
    return [number for number, message in enumerate(messages) if message.role == "assistant"]


def _last_calls(messages: tuple[Message, ...]) -> tuple[ToolCall, ...]:
    return next((message.tool_calls for message in reversed(messages) if message.role == "assistant"), ())


def _after_turn(
    messages: tuple[Message, ...],
    calls: tuple[ToolCall, ...],
    tools: Mapping[str, Declared],
    budgets: Budgets,
) -> Generator[int, None, list[Message | _Group]]:
    """Put the results of one turn together, in the order of its calls; everything else keeps its place."""
    sent = [message for message in messages if message.role == "tool"]
    results = tuple((yield from _results(calls, sent, tools, budgets)))
    told: list[Message | _Group] = [message for message in messages if message.role != "tool"]
    if results:
        first = next((number for number, message in enumerate(messages) if message.role == "tool"), 0)
        told.insert(first, _Group(results))
    return told


def _results(
    calls: tuple[ToolCall, ...], sent: list[Message], tools: Mapping[str, Declared], budgets: Budgets
) -> Generator[int, None, list[_Result]]:
    """Match each result with one call. If calls share an id, the last of them gets the surplus results."""
    waiting: dict[str | None, deque[Message]] = {call.id: deque() for call in calls}
    strangers = [message for message in sent if message.tool_call_id not in waiting]
    for message in sent:
        if message.tool_call_id in waiting:
            waiting[message.tool_call_id].append(message)
    later = Counter(call.id for call in calls)
    told = []
    for number, call in enumerate(calls, 1):
        yield CALL_CHARS + len(call.arguments)
        header = f"action {number}: {_described(call, tools, budgets)}"
        own = waiting[call.id]
        later[call.id] -= 1
        taken = [own.popleft() for _ in range(min(len(own), 1) if later[call.id] else len(own))]
        told += [_result(header, message) for message in taken]
        if not taken:
            told.append(_Result(header, (TextPart(NO_RESULT),)))
    return told + [
        _result(f"action: {_shown(message.name or 'unknown', tools)}", message) for message in strangers
    ]


def _result(header: str, message: Message) -> _Result:
    has_content = any(not isinstance(part, TextPart) or part.text.strip() for part in message.parts)
    parts = message.parts if has_content else (TextPart(NO_OUTPUT),)
    return _Result(f"{header}, failed" if message.is_error else header, parts)


def _shown(name: str, tools: Mapping[str, Declared]) -> str:
    """Return a tool's name as the model knows it. Results repeat it, so an unknown one is cut."""
    return tools[name].shown if name in tools else cut_end(name, MAX_NAME_CHARS)


def _described(call: ToolCall, tools: Mapping[str, Declared], budgets: Budgets) -> str:
    name = _shown(call.name, tools)
    found = replayed(name, call.arguments, tools.get(call.name), is_freeform=call.is_freeform).arguments
    if isinstance(found, str):
        echo = found
    else:
        echo = ", ".join(
            f"{key}: {value if isinstance(value, str) else encoded(value)}" for key, value in found.items()
        )
    echo = cut_end(on_one_line(echo[: 4 * budgets.echo]), budgets.echo)
    return f"{name} ({echo})" if echo else name


def _said(message: Message, syntax: Syntax, tools: Mapping[str, Declared]) -> Generator[int, None, Message]:
    if not message.tool_calls:
        return message
    pieces = []
    for call in message.tool_calls:
        name = tools[call.name].shown if call.name in tools else call.name
        known = tools.get(call.name)
        pieces.append(syntax.piece(replayed(name, call.arguments, known, is_freeform=call.is_freeform)))
        yield CALL_CHARS + len(call.arguments)
    text = "\n".join(filter(None, (message.text.rstrip(), syntax.together(pieces))))
    others = tuple(part for part in message.parts if not isinstance(part, TextPart))
    return Message(role="assistant", parts=(TextPart(text), *others), name=message.name)


# Budgets


def _cut(told: list[Message | _Group], budgets: Budgets) -> Generator[int, None, tuple[Message, ...]]:
    """Write the results, the newest with the largest share; images are counted from the first message on."""
    limits = _limits([item for item in told if isinstance(item, _Group)], budgets)
    messages: list[Message] = []
    images = 0
    for item in told:
        message = _written(item, limits.pop(0), images) if isinstance(item, _Group) else item
        images += sum(isinstance(part, ImagePart) for part in message.parts)
        messages.append(message)
        yield sum(result.size for result in item.results) if isinstance(item, _Group) else 0
    return tuple(messages)


def _limits(groups: list[_Group], budgets: Budgets) -> list[list[int]]:
    left = budgets.results
    limits: list[list[int]] = []
    for age, group in enumerate(reversed(groups)):
        most = budgets.result if age else budgets.last_result
        share = max(min(most, left // len(group.results)), budgets.least_result)
        limits.insert(0, [share] * len(group.results))
        left = max(left - sum(min(result.size, share) for result in group.results), 0)
    return limits


def _written(group: _Group, limits: list[int], images: int) -> Message:
    texts: list[str] = []
    attached: list[Part] = []
    for result, limit in zip(group.results, limits, strict=True):
        body = []
        for part in result.parts:
            match part:
                case TextPart(text):
                    body.append(text)
                case ImagePart():
                    images += 1
                    attached.append(part)
                    body.append(f"[image {images}, attached to this message]")
                case FilePart():
                    attached.append(part)
                    body.append(f"[file {part.name or 'without a name'}, attached to this message]")
        text = _CLOSER.sub("< ", cut_middle("\n".join(body), limit))
        texts.append(f"<{RESULT}>\n{result.header}\n{text}\n</{RESULT}>")
    return Message(role="user", parts=(TextPart("\n".join(texts)), *attached))
