"""Understand a plain request without a directive: create a file, read a file, run a command.

Clients' tools differ: `write` with `filePath`, `write_file` with `file_path`, `exec_command` with `cmd`,
`apply_patch` with one text. The model finds the tool by its arguments first and by its name second.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .directives import PlannedCall
from .tools import Tool

Verb = Literal["write", "read", "run"]

_QUOTED = r"(?:`([^`]+)`|\"([^\"]+)\"|'([^'\n]+)'|“([^”]+)”)"
_FILE = r"[`\"'“]?((?:[\w.-]*/)*[\w.-]*\w\.\w+|(?:[\w.-]*/)*(?:Makefile|Dockerfile|LICENSE|README))[`\"'”]?"
_WRITE = re.compile(
    r"\b(?:create|write|make|add|save|generate)\b[^\n.]{0,60}?\bfile\b[^\n]{0,40}?" + _FILE
    + r"|\b(?:create|write|make|save)\s+(?:to\s+)?" + _FILE
    + r"|(?:创建|新建|写)[^\n]{0,20}?" + _FILE,
    re.IGNORECASE,
)  # fmt: skip
_CONTENT = re.compile(
    r"(?:with|containing|contains?|that says|saying|whose|内容[是为]?)\s*[:：]?\s*"
    r"(?:(?:the|exactly|this|only|exact|single|one)\s+)*"
    r"(?:(?:line|text|contents?|words?|string)\b(?:\s+(?:is|are|of text))?[\s:：]*)?"
    r"(?:" + _QUOTED + r"|([^\n]+))",
    re.IGNORECASE,
)
_READ = re.compile(
    r"(?:\b(?:read|show|open|print|cat|display|view)\b[^\n]{0,40}?|(?:读取?|查看)[^\n]{0,10}?)" + _FILE,
    re.IGNORECASE,
)
_RUN = re.compile(
    r"\b(?:run|execute)\b(?:\s+the)?(?:\s+(?:shell\s+)?command)?\s*[:：]?\s*" + _QUOTED, re.IGNORECASE
)
_FOLDER = re.compile(
    r"(?:(?<!temporary )directory(?: is)?|workspace directories:\*\*\s+-|<cwd>|project root(?: is)?)"
    r"\s*[:：]?\s*[`\"]?(/[^\s`\"<>]+|[A-Z]:\\[^\s`\"<>]+)",
    re.IGNORECASE,
)
_ASIDE = re.compile(r"<([A-Za-z]+[-_][\w-]*)>.*?</\1>", re.DOTALL)

_PATHS = ("filepath", "absolutepath", "path", "filename", "file", "targetfile", "name")
_CONTENTS = ("content", "contents", "filetext", "text", "data", "body", "code")
_COMMANDS = ("command", "cmd", "script", "shellcommand")


@dataclass(frozen=True, slots=True)
class Request:
    verb: Verb
    path: str = ""
    content: str = ""
    command: str = ""


def understand(words: str) -> Request | None:
    """Return the request in a text, or None."""
    words = _ASIDE.sub("", words)
    if found := _RUN.search(words):
        return Request("run", command=_first(found.groups()))
    if found := _WRITE.search(words):
        content = _CONTENT.search(words, found.end())
        text = _first(content.groups()).strip() if content else ""
        return Request("write", path=_first(found.groups()), content=_without_stop(text, content))
    if found := _READ.search(words):
        return Request("read", path=_first(found.groups()))
    return None


def write_listing(words: str, prompt: str) -> str:
    """Write a file in aider's form `whole`, if the prompt asks for a *file listing*; else return ""."""
    request = understand(words) if "*file listing*" in prompt else None
    if request is None or request.verb != "write":
        return ""
    return f"Here it is.\n\n{request.path}\n```\n{request.content}\n```\n"


def find_folder(text: str) -> str:
    """Find the working folder that a client names in its prompt; "" if it does not."""
    found = _FOLDER.search(text)
    return found[1].rstrip(".,") if found else ""


def plan_request(request: Request, tools: Sequence[Tool], folder: str) -> PlannedCall | None:
    """Choose a tool and its arguments; return None if no tool fits."""
    path = (
        request.path if not folder or request.path.startswith("/") else f"{folder.rstrip('/')}/{request.path}"
    )
    match request.verb:
        case "write":
            return _write_file(request, path, tools)
        case "read":
            return _call_with(_best(tools, "read", [_PATHS]), [(_PATHS, path)]) or _run(
                f"cat {shlex.quote(path)}", tools
            )
        case "run":
            return _run(request.command, tools)


def _write_file(request: Request, path: str, tools: Sequence[Tool]) -> PlannedCall | None:
    direct = _call_with(
        _best(tools, "write", [_PATHS, _CONTENTS]), [(_PATHS, path), (_CONTENTS, request.content)]
    )
    if direct is not None:
        return direct
    command = f"printf '%s\\n' {shlex.quote(request.content)} > {shlex.quote(path)}"
    if (run := _run(command, tools)) is not None:
        return run
    patch = next((tool for tool in tools if "patch" in tool.name), None)
    if patch is None or not patch.arguments:
        return None
    lines = "".join(f"+{line}\n" for line in request.content.split("\n"))
    text = f"*** Begin Patch\n*** Add File: {request.path}\n{lines}*** End Patch\n"
    return PlannedCall(patch.name, {next(iter(patch.arguments)): text})


def _run(command: str, tools: Sequence[Tool]) -> PlannedCall | None:
    tool = _best(tools, "run", [_COMMANDS])
    if tool is None:
        return None
    name = _argument(tool, _COMMANDS)
    value: Any = ["bash", "-lc", command] if tool.schema_of(name).get("type") == "array" else command
    return PlannedCall(tool.name, {name: value})


_VERB_NAMES = {
    "write": ("write", "create", "save"),
    "read": ("read", "view", "open", "cat"),
    "run": ("exec", "bash", "shell", "run"),
}
_OTHER_NAMES = {
    "write": ("edit", "replace", "todo", "append", "memory", "notebook"),
    "read": ("todo", "many", "image", "resource"),
    "run": ("kill", "output", "write_stdin"),
}


def _best(tools: Sequence[Tool], verb: Verb, groups: Sequence[Sequence[str]]) -> Tool | None:
    """Return the tool that has an argument of each group and the likeliest name."""

    def score(tool: Tool) -> int:
        name = tool.name.lower()
        fits = sum(word in name for word in _VERB_NAMES[verb]) * 2
        misfits = sum(word in name for word in _OTHER_NAMES[verb]) * 4
        asks_more = sum(1 for argument in tool.required if not _is_in(argument, groups))
        return fits - misfits - asks_more + (tool.description.lower().count(verb) > 0)

    able = [tool for tool in tools if all(_argument(tool, group) for group in groups)]
    if verb == "read":
        able = [tool for tool in able if not _argument(tool, _CONTENTS) and score(tool) > 0]
    return max(able, key=score) if able else None


def _call_with(tool: Tool | None, values: Sequence[tuple[Sequence[str], Any]]) -> PlannedCall | None:
    if tool is None:
        return None
    return PlannedCall(tool.name, {_argument(tool, group): value for group, value in values})


def _argument(tool: Tool, group: Sequence[str]) -> str:
    """Return the tool's argument with the likeliest name of a group, or ""."""
    plain = {re.sub(r"[^a-z]", "", name.lower()): name for name in tool.arguments}
    return next((plain[wanted] for wanted in group if wanted in plain), "")


def _is_in(argument: str, groups: Sequence[Sequence[str]]) -> bool:
    return re.sub(r"[^a-z]", "", argument.lower()) in {name for group in groups for name in group}


def _first(groups: Sequence[str | None]) -> str:
    return next((group for group in groups if group), "")


def _without_stop(text: str, found: re.Match[str] | None) -> str:
    """Take the full stop off a content that was not quoted."""
    is_quoted = found is not None and not found.groups()[-1]
    return text if is_quoted else re.sub(r"[.。]?\s*$", "", text)
