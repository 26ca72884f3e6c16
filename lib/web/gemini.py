"""Google's actions on a model: the routes below /v1beta/models, and the same below /v1/models."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.convertors import StringConvertor, register_url_convertor
from starlette.routing import Route
from starlette.types import Scope

from lib.dialects import gemini
from lib.web.chat import chat_endpoint, count_endpoint

NAME = "{name:model}"
"""A model's name in a path: it may hold slashes and colons."""


class _ModelConvertor(StringConvertor):
    # A name may have slashes, as in `vendor/model`. No part of such a name is empty, `.` or `..`.
    regex = r"[^/]+|(?:(?!\.{1,2}/)[^/]+/)+(?!\.{1,2}$)[^/]+"


register_url_convertor("model", _ModelConvertor())

ENDPOINTS = {
    action: make(gemini, action=action)
    for action, make in {
        "generateContent": chat_endpoint,
        "streamGenerateContent": chat_endpoint,
        "countTokens": count_endpoint,
    }.items()
}


def action_routes(models: str) -> Iterable[Route]:
    """Make the routes below the path `models`."""
    return [
        Route(f"{models}/{NAME}:{action}", endpoint, methods=["POST"])
        for action, endpoint in ENDPOINTS.items()
    ]


def is_action(scope: Scope) -> bool:
    """Tell whether a request's path ends with one of the actions."""
    return str(scope["path"]).rpartition(":")[2] in ENDPOINTS
