"""Check a request's tools and schemas, and name each mistake's place in the client's own words."""

from __future__ import annotations

from collections.abc import Sequence

from lib.chat.request import ChatRequest
from lib.errors import InvalidRequest


def check_tools(
    chat: ChatRequest, places: Sequence[str], *, schema_at: str = "parameters", format_at: str
) -> None:
    """Raise InvalidRequest for a name or a schema that cannot be taken.

    `places` has the place of each tool, as `tools[0].function`.
    """
    if not chat.tools and chat.json_format is None and chat.tool_choice.mode != "required":
        return
    # Imported here: a chat without tools does not pay for it at its cold start.
    from lib.tools.validation import check_request

    try:
        check_request(chat, schema_at=schema_at, format_at=format_at)
    except InvalidRequest as error:
        raise error.at(_placed(error.param, places)) from error


def _placed(param: str | None, places: Sequence[str]) -> str | None:
    for number, place in enumerate(places):
        start = f"tools[{number}]"
        if param is not None and param.startswith(start):
            return place + param.removeprefix(start)
    return param
