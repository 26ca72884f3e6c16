"""Read a flattened prompt as a model does: the conversation, the tools, the form of the output.

The gateway writes the conversation first, then `# Actions` with the tools, then `# Output` with a JSON
Schema, then a reminder in parentheses. The reader knows these forms and nothing of the wording around them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from .conversation import Item, items_of
from .tools import Tool, read_tool

Choice = Literal["none", "auto", "required", "named"]

TAG = re.compile(r"<(bridge_run(?:_x\d+)?)>")

_LIST_HEAD = re.compile(r"^Available actions\b.*$", re.MULTILINE)
_ACTIONS = re.compile(r"^# Actions[ \t]*$", re.MULTILINE)
_OUTPUT = re.compile(r"^# Output[ \t]*$", re.MULTILINE)
_REMINDER = re.compile(r"^\((?=[^\n]*\b(?:block|act)\b)[^\n]*\)[ \t]*$", re.MULTILINE)
_TURN = re.compile(r"^<\|(?:system|user|assistant)(?::\d+)?\|>", re.MULTILINE)
_NAMED = re.compile(
    r"exactly one block,? with the tool [`\"']?([A-Za-z0-9_.:-]*[A-Za-z0-9_-])", re.IGNORECASE
)
ASKS_AGAIN = re.compile(r"\b(?:again|block|JSON)\b|could not be run", re.IGNORECASE)
_ASIDE = re.compile(r"<([A-Za-z]+[-_][\w-]*)>.*?</\1>", re.DOTALL)
_ONE_OF = re.compile(r"block with one of: ([^\n]*?)\. ", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reading:
    items: tuple[Item, ...]
    tools: tuple[Tool, ...] = ()
    tag: str = "bridge_run"
    choice: Choice = "none"
    named: str = ""
    """The tool that the answer must call, if `choice` is `named`."""
    one_block: bool = False
    wants_json: bool = False
    schema: dict[str, Any] | None = None
    """None for any JSON value, or if no JSON is wanted."""
    taught: str = "blocks"
    """The syntax of the section `# Actions`: `blocks`, `calls` or `dsml`."""

    def find_tool(self, name: str) -> Tool | None:
        return next((tool for tool in self.tools if tool.name == name), None)

    @property
    def system(self) -> str:
        return "\n".join(item.text for item in self.items if item.kind == "system")


def read_prompt(prompt: str, earlier: Sequence[tuple[str, str]] = ()) -> Reading:
    """Read a prompt; `earlier` are prompt and answer of each turn that the conversation has so far.

    A conversation that goes on may leave the section of tools out: the newest earlier one then counts.
    A request to repair the last answer needs no section: all of the last prompt's sections count.
    """
    reading = _read(prompt)
    past = [(_read(asked), answer) for asked, answer in earlier]
    before = [
        item
        for asked, answer in past
        for item in (*asked.items, *([Item("assistant", answer)] if answer else []))
    ]
    if past and reading.choice == "none" and not reading.wants_json and ASKS_AGAIN.search(prompt):
        reading = replace(past[-1][0], items=reading.items)
    if reading.choice != "none" and not _has_arguments(reading):
        described = next((asked for asked, _ in reversed(past) if _has_arguments(asked)), None)
        if described is not None:
            reading = replace(reading, tools=described.tools, taught=described.taught)
    return replace(reading, items=(*before, *reading.items))


def _has_arguments(reading: Reading) -> bool:
    return any(tool.arguments or tool.description for tool in reading.tools)


def where_tags_count(prompt: str) -> str:
    """Return the texts that may name a scene: the system's, and the newest words of the user.

    A turn with results only is no new task, nor is a client's own remark, such as `<system-reminder>`.
    """
    items = _read(prompt).items
    words = [item.text for item in items if item.kind == "words" and _ASIDE.sub("", item.text).strip()]
    system = [item.text for item in items if item.kind == "system"]
    return "\n".join([*system, *words[-1:]])


def _read(prompt: str) -> Reading:
    body, reminders = _split_reminders(prompt)
    output = _find_output(body)
    actions = _find_actions(body)
    conversation = _cut_out(body, [span for span in (actions, output) if span])
    section = body[slice(*actions)] if actions else ""
    tail = "\n".join(reminders)
    reading = Reading(tuple(items_of(conversation)), tag=_tag_of(section, tail), taught=_syntax_of(section))
    if actions or _speaks_of_blocks(tail):
        reading = _with_choice(reading, tail, tuple(_tools_of(section, tail)))
    if output:
        reading = replace(reading, wants_json=True, schema=_schema_of(body[slice(*output)]))
    return reading


def _with_choice(reading: Reading, tail: str, tools: tuple[Tool, ...]) -> Reading:
    named = _NAMED.search(tail)
    choice: Choice = "named" if named else "auto"
    if re.search(r"at least one\b[^\n]*\bblock", tail, re.IGNORECASE):
        choice = "required"
    return replace(
        reading,
        tools=tools,
        choice=choice,
        named=named[1] if named else "",
        one_block=bool(named or re.search(r"at most one block", tail, re.IGNORECASE)),
    )


# The sections at the end


def _find_actions(prompt: str) -> tuple[int, int] | None:
    """Find the last `# Actions` that a list of tools follows; it ends with the list's empty line.

    A turn that follows shows that the section is a quotation in the conversation.
    """
    for head in reversed(list(_ACTIONS.finditer(prompt))):
        listed = _LIST_HEAD.search(prompt, head.end())
        if listed is not None:
            end = _end_of_paragraph(prompt, listed.end())
            return None if _TURN.search(prompt, end) else (head.start(), end)
    return None


def _find_output(prompt: str) -> tuple[int, int] | None:
    """Find the `# Output` that speaks of JSON and ends the prompt; another one is the caller's heading."""
    heads = list(_OUTPUT.finditer(prompt))
    if not heads:
        return None
    start, end = heads[-1].start(), _end_of_paragraph(prompt, heads[-1].end())
    return (start, end) if "JSON" in prompt[start:end] and not prompt[end:].strip() else None


def _end_of_paragraph(prompt: str, start: int) -> int:
    blank = re.compile(r"\n[ \t]*(?:\n|\Z)|\n(?=<\|)").search(prompt, start)
    return blank.end() if blank else len(prompt)


def _split_reminders(prompt: str) -> tuple[str, list[str]]:
    """Split off the lines in parentheses at the end, and the closing role marker after them."""
    lines = re.sub(r"(?:\n?<\|assistant(?::\d+)?\|>\s*|\s+)\Z", "", prompt).split("\n")
    found: list[str] = []
    end = len(lines)
    while end and (not lines[end - 1].strip() or _REMINDER.fullmatch(lines[end - 1])):
        end -= 1
        found += [lines[end].strip()] if lines[end].strip() else []
    return "\n".join([*lines[:end], *([""] * (len(lines) - end))]), found[::-1]


def _speaks_of_blocks(tail: str) -> bool:
    return bool(TAG.search(tail) or "(To act" in tail)


def _cut_out(prompt: str, spans: list[tuple[int, int]]) -> str:
    for start, end in sorted(spans, reverse=True):
        prompt = prompt[:start] + "\n" + prompt[end:]
    return prompt


def _tag_of(section: str, tail: str) -> str:
    found = TAG.search(tail) or TAG.search(section)
    return found[1] if found else "bridge_run"


def _syntax_of(section: str) -> str:
    if "DSML" in section:
        return "dsml"
    if TAG.search(section) or not re.search(r"^[A-Za-z_][\w.-]*\(\{", section, re.MULTILINE):
        return "blocks"
    return "calls"


def _tools_of(section: str, tail: str) -> Iterator[Tool]:
    head = _LIST_HEAD.search(section)
    if head is not None:
        listed = (read_tool(line) for line in section[head.end() :].strip("\n").split("\n") if line.strip())
        yield from (tool for tool in listed if tool is not None)
    elif names := _ONE_OF.search(tail + " "):
        yield from (Tool(name.strip()) for name in names[1].split(",") if name.strip())


def _schema_of(section: str) -> dict[str, Any] | None:
    for line in section.split("\n"):
        if line.startswith("{"):
            try:
                value = json.loads(line)
            except ValueError:
                continue
            return value if isinstance(value, dict) else None
    return None
