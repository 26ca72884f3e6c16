"""Calls in a complete text: JSON, `name({…})`, ReAct, or behind another model's marks."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from lib.tools.arguments import only_text
from lib.tools.drafts import Draft
from lib.tools.envelopes import NAME_KEYS, envelopes_in
from lib.tools.loose_json import CutOff, Loose, NotJson, read_json, read_keywords
from lib.tools.toolbox import Toolbox

MARKED = (
    r"\[call[:=][ \t]*(?P<name>[^\]\s]+)\]",
    r"\[tool[ _]?calls?[ \t]*[:：][ \t]*(?P<name>[^\]\s]+)\]",
    r"\[TOOL_CALLS\][ \t]*(?P<name>[\w.:\-]+)?(?:\[ARGS\])?",
    r"<\|python_tag\|>(?P<name>)",
    r"<｜tool▁call▁begin｜>(?:function<｜tool▁sep｜>)?(?P<name>[\w.:\-]+)(?:<｜tool▁sep｜>)?",
    r"<\|tool_call_begin\|>\s*(?P<name>[^\s<]+)\s*<\|tool_call_argument_begin\|>",
    r"<\|channel\|>\w+ to=(?P<name>[^\s<]+)[^\n{]{0,80}?<\|message\|>",
    r"调用工具\s*[:：]\s*(?P<name>\S+)\s*参数\s*[:：]",
)
_MARKED = re.compile(
    "|".join(mark.replace("?P<name>", f"?P<name{number}>") for number, mark in enumerate(MARKED)),
    re.IGNORECASE,
)
_BETWEEN = re.compile(
    r"(?:[\s,;}\]]|\[/?(?:function_calls|call)\]|<｜tool▁(?:calls▁begin|calls?▁end)｜>"
    r"|<\|tool_calls?_(?:section_\w+|end)\|>|<\|(?:call|eom_id|end)\|>|```\w*|~~~\w*|</?tool_code>)*"
)
_AFTER_MARK = re.compile(r"\s*(?:```\w*\s*)?")
_ACTION = re.compile(
    r"(?:Thought\s*[:：][^\n]*\n\s*)?Action[ \t]*[:：][ \t]*(?P<name>[\w.:\-]+)[ \t]*"
    r"(?:\[(?P<inner>[^\]\n]*)\]|\n\s*Action Input[ \t]*[:：][ \t]*(?:```\w*\s*)?)",
    re.IGNORECASE,
)
_ACTION_END = re.compile(r"\n\s*(?:Observation|Thought|Action|Final Answer)[ \t]*[:：]|\Z", re.IGNORECASE)
_CALL = re.compile(r"(?:print\s*\(\s*)?(?P<name>[A-Za-z_][\w.:\-]*)[ \t]*\(\s*")
_CALL_END = re.compile(r"\s*\)*[ \t]*;?")
_NAMED = re.compile(r"(?P<name>[A-Za-z_][\w.:\-]*)\s*(?=\{)")
_NAME_IN_JSON = re.compile(
    r"[\"'](?:" + "|".join(NAME_KEYS) + r")[\"']\s*[:：]\s*[\"']([^\"'\n]{1,160})[\"']"
)
_KEYWORD = re.compile(r"[A-Za-z_]\w*\s*=")


class Written(msgspec.Struct, frozen=True):
    """Calls, and the place in the text behind them."""

    drafts: tuple[Draft, ...]
    end: int


Form = Callable[[str, int, Toolbox, bool], Written | None]


def read_calls(text: str, box: Toolbox, *, is_whole: bool) -> Written | None:
    """Read the calls that the text begins with; None: it is other text.

    Not `is_whole`: the answer was cut off, so that only calls that are complete as they are count.
    """
    drafts: list[Draft] = []
    end = 0
    while True:
        between = _BETWEEN.match(text, end)
        place = between.end() if between else end
        written = _one(text, place, box, is_whole)
        if written is None or written.end <= end:
            break
        drafts += written.drafts
        end = written.end
    if not drafts:
        return None
    closing = _BETWEEN.match(text, end)
    return Written(tuple(drafts), closing.end() if closing else end)


def _one(text: str, place: int, box: Toolbox, is_whole: bool) -> Written | None:
    return next(filter(None, (form(text, place, box, is_whole) for form in _FORMS)), None)


def _json(text: str, place: int, box: Toolbox, is_whole: bool) -> Written | None:
    if text[place : place + 1] not in ("{", "["):
        return None
    try:
        found = read_json(text, place)
    except CutOff:
        name = _NAME_IN_JSON.search(text, place, place + 400)
        if is_whole and name and box.find(name[1]) and not box.expects_json:
            return Written((Draft(name=name[1], is_cut=True),), len(text))
        return None
    except NotJson:
        return None
    if not (found.is_strict or is_whole):
        return None
    envelopes = list(envelopes_in(found.value, box))
    if not envelopes or (box.expects_json and not all(envelope.is_plain for envelope in envelopes)):
        return None
    drafts = tuple(
        Draft(
            name=envelope.name,
            arguments=envelope.arguments if envelope.arguments is not None else {},
            is_explicit=not box.expects_json,
        )
        for envelope in envelopes
    )
    return Written(drafts, found.end)


def _marked(text: str, place: int, box: Toolbox, is_whole: bool) -> Written | None:
    if not (mark := _MARKED.match(text, place)):
        return None
    name = next((value for value in mark.groups() if value), "")
    begin = _after(_AFTER_MARK, text, mark.end())
    if not name:
        return _json(text, begin, box, is_whole)
    return _arguments(name, text, begin, box, is_whole)


def _named(text: str, place: int, box: Toolbox, is_whole: bool) -> Written | None:
    """`read⏎{"path": …}`."""
    if not (named := _NAMED.match(text, place)):
        return None
    return _arguments(named["name"], text, named.end(), box, is_whole)


def _arguments(name: str, text: str, place: int, box: Toolbox, is_whole: bool) -> Written | None:
    if not box.find(name):
        return None
    try:
        found = read_json(text, place)
    except CutOff:
        return Written((Draft(name=name, is_cut=True),), len(text)) if is_whole else None
    except NotJson:
        return None
    if not isinstance(found.value, dict) or not (found.is_strict or is_whole):
        return None
    found = _last_of_repeated(text, found)
    inner = list(envelopes_in(found.value, box))
    arguments = inner[0].arguments if inner and inner[0].is_plain else found.value
    return Written((Draft(name=name, arguments=arguments),), found.end)


def _last_of_repeated(text: str, found: Loose) -> Loose:
    """`{"path":"a.py"}{"path":"a.py"}`: the stream said it twice; the last one is complete."""
    while text[found.end : found.end + 1] == "{":
        try:
            again = read_json(text, found.end)
        except NotJson:
            break
        if not isinstance(again.value, dict) or set(again.value) != set(found.value):
            break
        found = again
    return found


def _call(text: str, place: int, box: Toolbox, is_whole: bool) -> Written | None:
    """`read({"path": "a.py"})`, `read(path="a.py")`, `read("a.py")`, `now()`."""
    if not (opener := _CALL.match(text, place)) or not (tool := box.find(opener["name"])):
        return None
    name, begin = opener["name"], opener.end()
    try:
        draft, end = _in_brackets(name, text, begin, only_text(tool.schema))
    except CutOff:
        cut = Draft(name=name, is_cut=True, is_explicit=text[begin : begin + 1] in ("{", ""))
        return Written((cut,), len(text)) if is_whole else None
    except NotJson:
        return None
    if draft is None or (text[end - 1 : end] != ")" and ")" not in text[end : end + 3] and not is_whole):
        return None
    end = _after(_CALL_END, text, end)
    rest = text[end : end + 200].partition("\n")[0].strip()
    return None if rest and rest[0] not in "`,;]<" and not _CALL.match(rest) else Written((draft,), end)


def _in_brackets(name: str, text: str, place: int, only: str | None) -> tuple[Draft | None, int]:
    first = text[place : place + 1]
    if first == ")":
        return Draft(name=name, arguments={}, is_explicit=False), place + 1
    if first == "{":
        found = read_json(text, place)
        return Draft(name=name, arguments=found.value), found.end
    if _KEYWORD.match(text, place):
        found = read_keywords(text, place)
        return Draft(name=name, arguments=found.value, is_explicit=False), found.end
    if first in ("'", '"') and only is not None:
        found = read_keywords(f"{only}={text[place:]}", 0)
        is_one = set(found.value) == {only}
        draft = Draft(name=name, arguments=found.value, is_explicit=False) if is_one else None
        return draft, found.end - len(only) - 1 + place
    return None, place


def _action(text: str, place: int, box: Toolbox, is_whole: bool) -> Written | None:
    """`Action: read⏎Action Input: {…}`, `Action: read[a.py]`."""
    found = _ACTION.match(text, place)
    if not found or not box.find(found["name"]):
        return None
    if found["inner"] is not None:
        return Written((Draft(name=found["name"], body=found["inner"], is_explicit=False),), found.end())
    if text[found.end() : found.end() + 1] == "{":
        return _arguments(found["name"], text, found.end(), box, is_whole)
    ending = _ACTION_END.search(text, found.end())
    end = ending.start() if ending else len(text)
    if end == len(text) and not is_whole:
        return None
    body = text[found.end() : end].strip()
    return Written((Draft(name=found["name"], body=body, is_explicit=False),), end)


def _after(pattern: re.Pattern[str], text: str, place: int) -> int:
    found = pattern.match(text, place)
    return found.end() if found else place


_FORMS: tuple[Form, ...] = (_json, _marked, _action, _call, _named)
