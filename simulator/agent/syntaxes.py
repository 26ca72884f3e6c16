"""Write tool calls as text, in each of the syntaxes that a GLM model was seen to use."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_TAG_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Call:
    """A call as the model means it."""

    tool: str
    arguments: Mapping[str, Any]

    @property
    def json(self) -> str:
        return _json(self.arguments)


Writer = Callable[[Sequence[Call], str], str]


def write_calls(calls: Sequence[Call], *, syntax: str, tag: str) -> str:
    return SYNTAXES[syntax](calls, tag)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _verbatim(value: Any) -> str:
    return value if isinstance(value, str) else _json(value)


def _on_lines(value: str) -> str:
    """Put a text of several lines on lines of its own; the reader takes one newline off at each end."""
    return f"\n{value}\n" if "\n" in value else value


def _blocks(calls: Sequence[Call], tag: str) -> str:
    return "\n".join(_block(call, tag) for call in calls)


def _block(call: Call, tag: str) -> str:
    lines = [f"<{tag}>", f"<tool>{call.tool}</tool>"]
    if all(_TAG_NAME.fullmatch(name) for name in call.arguments):
        for name, value in call.arguments.items():
            lines.append(f"<in_{name}>{_on_lines(_verbatim(value))}</in_{name}>")
    else:
        lines.append(f"<in_json>{call.json}</in_json>")
    return "\n".join([*lines, f"</{tag}>"])


def _calls(calls: Sequence[Call], tag: str) -> str:  # noqa: ARG001
    return "\n".join(f"{call.tool}({call.json})" for call in calls)


def _dsml(calls: Sequence[Call], tag: str) -> str:  # noqa: ARG001
    def parameter(name: str, value: Any) -> str:
        text = _verbatim(value).replace("]]>", "]]]]><![CDATA[>")
        return f'<|DSML|parameter name="{name}"><![CDATA[{text}]]></|DSML|parameter>'

    invokes = [
        f'<|DSML|invoke name="{call.tool}">\n'
        + "".join(parameter(name, value) + "\n" for name, value in call.arguments.items())
        + "</|DSML|invoke>\n"
        for call in calls
    ]
    return f"<|DSML|tool_calls>\n{''.join(invokes)}</|DSML|tool_calls>"


def _native(calls: Sequence[Call], tag: str, *, newline: str = "") -> str:  # noqa: ARG001
    """Write GLM's own form: 4.7 and later without newlines, 4.5 and 4.6 with them (tools.md §1.1)."""

    def argument(name: str, value: Any) -> str:
        return f"<arg_key>{name}</arg_key>{newline}<arg_value>{_verbatim(value)}</arg_value>{newline}"

    return "".join(
        f"<tool_call>{call.tool}{newline}"
        + "".join(argument(name, value) for name, value in call.arguments.items())
        + f"</tool_call>{newline}"
        for call in calls
    )


def _native_lines(calls: Sequence[Call], tag: str) -> str:
    return _native(calls, tag, newline="\n")


def _json_calls(calls: Sequence[Call], tag: str) -> str:  # noqa: ARG001
    functions = [
        {"id": f"call_{number}", "type": "function", "function": {"name": call.tool, "arguments": call.json}}
        for number, call in enumerate(calls, 1)
    ]
    return _json({"tool_calls": functions})


def _json_fenced(calls: Sequence[Call], tag: str) -> str:  # noqa: ARG001
    objects = [{"name": call.tool, "arguments": dict(call.arguments)} for call in calls]
    return f"```json\n{_json(objects[0] if len(objects) == 1 else objects)}\n```"


def _react(calls: Sequence[Call], tag: str) -> str:  # noqa: ARG001
    return "\n".join(
        f"Thought: I need {call.tool}.\nAction: {call.tool}\nAction Input: {call.json}" for call in calls
    )


SYNTAXES: dict[str, Writer] = {
    "blocks": _blocks,
    "calls": _calls,
    "dsml": _dsml,
    "native": _native,
    "native_lines": _native_lines,
    "json": _json_calls,
    "json_fenced": _json_fenced,
    "react": _react,
}
