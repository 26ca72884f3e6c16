"""Requests that declare tools wrongly are refused, and the place is named."""

from __future__ import annotations

from typing import Any

import pytest

from lib.chat.request import JsonFormat, Tool, ToolChoice
from lib.errors import InvalidRequest
from lib.tools.validation import MAX_TOOLS, check_request
from tests.unit.tools.samples import NOW, READ, TOOLS, request

DEEP: dict[str, Any] = {}
for _ in range(99):
    DEEP = {"items": DEEP}


@pytest.mark.parametrize(
    ("tools", "more", "param"),
    [
        ((Tool(name=""),), {}, "tools[0].function.name"),
        ((NOW, Tool(name="a b")), {}, "tools[1].function.name"),
        ((Tool(name="a" * 129),), {}, "tools[0].function.name"),
        ((Tool(name="a\n"),), {}, "tools[0].function.name"),
        ((NOW, READ, NOW), {}, "tools[2].function.name"),
        ((Tool(name="a", schema={"type": "string"}),), {}, "tools[0].function.parameters.type"),
        (
            (Tool(name="a", schema={"type": "object", "properties": DEEP}),),
            {},
            "tools[0].function.parameters",
        ),
        ((NOW,), {"tool_choice": ToolChoice(mode="required", names=("later",))}, "tool_choice"),
        ((NOW,), {"tool_choice": ToolChoice(names=("later",))}, "tool_choice"),
        ((), {"tool_choice": ToolChoice(mode="required")}, "tool_choice"),
        ((), {"json_format": JsonFormat(schema=DEEP)}, "response_format"),
        ((NOW,) * (MAX_TOOLS + 1), {}, "tools"),
    ],
)
def test_it_is_refused(tools: tuple[Tool, ...], more: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_request(request(tools, **more), inside="function.")
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("tools", "more"),
    [
        (TOOLS, {}),
        ((Tool(name="A-z_0.9:x"), Tool(name="free", is_freeform=True)), {}),
        ((NOW,), {"tool_choice": ToolChoice(mode="required", names=("now",))}),
        ((), {"tool_choice": ToolChoice(mode="none", names=("x",)), "json_format": JsonFormat(schema={})}),
        ((Tool(name="a", schema={}),), {"json_format": JsonFormat()}),
    ],
)
def test_it_passes(tools: tuple[Tool, ...], more: dict[str, Any]) -> None:
    check_request(request(tools, **more))
