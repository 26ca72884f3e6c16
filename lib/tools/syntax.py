"""The three syntaxes in which calls are taught and the history is told. The reader takes all of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from lib.tools.arguments import NotAnObject, read_arguments, takes_text
from lib.tools.loose_json import NotJson
from lib.tools.markup import MarkupReader
from lib.tools.schema import ANYTHING, properties_of
from lib.tools.tags import Family, own_family, xml_family
from lib.tools.toolbox import Declared, Toolbox, encoded
from lib.tools.words import ARGUMENT, FREEFORM, RUN, TOOL, WHOLE

SyntaxName = Literal["blocks", "calls", "dsml"]
_DSML = "|DSML|"
MAX_TAGS = 1_000
"""A call with more characters that may begin a tag is not read back: each takes some microseconds."""
TAGS_OF_ARGUMENT = 2
MAX_JSON_CHARS = 8_192
"""The same for values that are no texts: reading JSON that is not quite JSON takes 7 µs for a character."""
_THEN = "end the answer: the results come in the next message."


class Replayed(NamedTuple):
    """A call to be written."""

    name: str
    """As the model knows it."""
    arguments: Mapping[str, Any] | str
    """A text is no JSON: it is written as it is."""
    tool: Declared | None = None


class Syntax:
    """`name({…})` at the start of a line; the base of the other two."""

    name: SyntaxName = "calls"
    unit = "call"
    label = ""
    """Stands before an argument's name in words for the model."""

    def __init__(self, tag: str = RUN) -> None:
        self.tag = tag

    @property
    def mention(self) -> str:
        """Names the form in the middle of a sentence."""
        return "call `name({…})` on a line of its own"

    @property
    def rules(self) -> tuple[str, ...]:
        return (
            "One line per action, beginning with its name. Independent actions: several lines.",
            "The brackets hold one JSON object with the arguments; line breaks in a text are written \\n.",
            f"Write the line itself as plain text in the answer. After the last one, {_THEN}",
            "Announcing an action does nothing. Only the line runs it.",
        )

    def write(self, call: Replayed) -> str:
        return self.together((self.piece(call),))

    def together(self, pieces: Iterable[str]) -> str:
        """Make one text of the pieces of several calls."""
        return "\n".join(pieces)

    def piece(self, call: Replayed) -> str:
        body = call.arguments if isinstance(call.arguments, str) else encoded(call.arguments)
        return f"{call.name}({body})"


class BlockSyntax(Syntax):
    """A tag for each argument, with its value as it is."""

    name: SyntaxName = "blocks"
    unit = "block"
    label = ARGUMENT

    @property
    def mention(self) -> str:
        return f"<{self.tag}> block"

    @property
    def rules(self) -> tuple[str, ...]:
        return (
            "One block per action. Independent actions: several blocks, one after another.",
            "Text values: exactly as they are, over several lines where needed, nothing escaped or quoted.",
            "Numbers, true/false, lists and objects: as JSON.",
            f"Arguments whose names are unusual, or that are not listed: one JSON object in <{WHOLE}>.",
            f"Write the block itself as plain text in the answer. After the last block, {_THEN}",
            "Announcing an action does nothing. Only the block runs it.",
        )

    def piece(self, call: Replayed) -> str:
        arguments = call.arguments
        if isinstance(arguments, str):
            return self._block(call.name, [_tagged(WHOLE, arguments)])
        if _names_are_plain(call) and not _is_costly(call):
            fields = [_tagged(f"{ARGUMENT}{name}", _as_text(value)) for name, value in arguments.items()]
            block = self._block(call.name, fields)
            if _reads_back(block, call, own_family, self.tag):
                return block
        return self._block(call.name, [_tagged(WHOLE, _escaped(arguments))])

    def _block(self, name: str, fields: list[str]) -> str:
        return "\n".join((f"<{self.tag}>", f"<{TOOL}>{name}</{TOOL}>", *fields, f"</{self.tag}>"))


class DsmlSyntax(Syntax):
    """DeepSeek's markup, which other bridges teach (field.md §2.2)."""

    name: SyntaxName = "dsml"
    unit = "block"

    @property
    def mention(self) -> str:
        return f"<{_DSML}tool_calls> block"

    @property
    def rules(self) -> tuple[str, ...]:
        return (
            f"One <{_DSML}invoke> per action. Independent actions: several, in one <{_DSML}tool_calls>.",
            "Text values: exactly as they are, inside <![CDATA[ and ]]>.",
            "Numbers, true/false, lists and objects: as JSON, without CDATA.",
            f"Write the block itself as plain text in the answer. After it, {_THEN}",
            "Announcing an action does nothing. Only the block runs it.",
        )

    def together(self, pieces: Iterable[str]) -> str:
        return "\n".join((f"<{_DSML}tool_calls>", *pieces, f"</{_DSML}tool_calls>"))

    def piece(self, call: Replayed) -> str:
        arguments = call.arguments
        if isinstance(arguments, str):
            return _invoked(call.name, [arguments])
        if _names_are_plain(call) and not _is_costly(call):
            block = _invoked(call.name, [_parameter(*field) for field in arguments.items()])
            if _reads_back(block, call, xml_family, self.tag):
                return block
        return _invoked(call.name, [_escaped(arguments)])


def syntax_named(name: SyntaxName, tag: str = RUN) -> Syntax:
    return {"blocks": BlockSyntax, "calls": Syntax, "dsml": DsmlSyntax}[name](tag)


def _invoked(name: str, fields: list[str]) -> str:
    return "\n".join((f'<{_DSML}invoke name="{name}">', *fields, f"</{_DSML}invoke>"))


def _parameter(name: str, value: object) -> str:
    text = f"<![CDATA[{value}]]>" if isinstance(value, str) else encoded(value)
    return f'<{_DSML}parameter name="{name}">{text}</{_DSML}parameter>'


def _tagged(tag: str, text: str) -> str:
    return f"<{tag}>\n{text}\n</{tag}>" if "\n" in text else f"<{tag}>{text}</{tag}>"


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else encoded(value)


def _escaped(arguments: object) -> str:
    """JSON in which nothing looks like a tag."""
    return encoded(arguments).replace("<", "\\u003c").replace("＜", "\\uff1c")


def _names_are_plain(call: Replayed) -> bool:
    assert not isinstance(call.arguments, str)
    if call.tool is not None and not properties_of(call.tool.schema):
        return False
    return all(name.isascii() and name.replace("-", "_").isidentifier() for name in call.arguments)


def _is_costly(call: Replayed) -> bool:
    """Tell whether reading the call back would stop the loop for long: it is written as JSON instead."""
    assert not isinstance(call.arguments, str)
    schema = call.tool.schema if call.tool else ANYTHING
    tags = len(call.arguments) * TAGS_OF_ARGUMENT
    json_chars = 0
    for name, value in call.arguments.items():
        text = _as_text(value)
        tags += text.count("<") + text.count("＜")
        if not isinstance(value, str) or not takes_text(name, schema):
            json_chars += len(text)
    return tags > MAX_TAGS or json_chars > MAX_JSON_CHARS


def _reads_back(block: str, call: Replayed, family: Family, tag: str) -> bool:
    """Tell whether the reader gets the same arguments out of the text: a value may look like a tag."""
    schema = call.tool.schema if call.tool else ANYTHING
    known = Declared(name=call.name, shown=call.name, description="", schema=schema)
    reader = MarkupReader(Toolbox((known,), tag=tag), family)
    drafts = [*reader.feed(block), *reader.finish()]
    if len(drafts) != 1 or drafts[0].draft.name != call.name:
        return False
    try:
        found = read_arguments(drafts[0].draft, schema, note=lambda _: None)
    except (NotAnObject, NotJson):
        return False
    return encoded(found) == encoded(call.arguments)


def replayed(name: str, arguments: str, tool: Declared | None, *, is_freeform: bool) -> Replayed:
    """Take a call as a client replays it."""
    if is_freeform:
        return Replayed(name, {FREEFORM: arguments}, tool)
    try:
        value = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return Replayed(name, arguments, tool)
    return Replayed(name, value if isinstance(value, dict) else arguments, tool)
