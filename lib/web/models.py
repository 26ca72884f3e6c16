"""The models that can be asked for, in the form that the caller's headers or path choose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from lib.chat.models import Listed
from lib.dialects import (
    anthropic_errors,
    anthropic_models,
    gemini_errors,
    gemini_models,
    openai_errors,
    openai_models,
)
from lib.dialects.interface import ErrorForm
from lib.flows.models import find_model, list_models
from lib.web.app import create_app
from lib.web.call import call_of
from lib.web.gemini import NAME, action_routes, is_action

LISTED_SINCE = 1790640000  # 2026-09-29, when the upstream's list was observed; it tells no dates itself


class ModelsForm(Protocol):
    """A dialect's answers about models: a module is one."""

    def render_models(self, models: Sequence[Listed], created: int, /) -> bytes: ...

    def render_model(self, model: Listed, created: int, /) -> bytes: ...


Choice = tuple[ModelsForm, ErrorForm | None]
"""The form of answers, and that of errors; None means OpenAI's."""

OPENAI: Choice = (openai_models, None)
ANTHROPIC: Choice = (anthropic_models, anthropic_errors.ERROR_FORM)
GEMINI: Choice = (gemini_models, gemini_errors.ERROR_FORM)


def by_headers(scope: Scope) -> Choice:
    """Choose the dialect whose clients send such headers. `?key=` alone decides nothing.

    The actions are Google's alone, so nothing needs to be decided for them.
    """
    headers = Headers(scope=scope)
    if "x-goog-api-key" in headers or is_action(scope):
        return GEMINI
    return ANTHROPIC if "anthropic-version" in headers else OPENAI


def always_gemini(_: Scope) -> Choice:
    return GEMINI


def models_app(path: str, choose: Callable[[Scope], Choice]) -> Starlette:
    """Make the app of the models at a path, and of Google's actions on each of them."""

    async def get_models(request: Request) -> Response:
        form, _ = choose(request.scope)
        models = await list_models(call_of(request))
        return Response(form.render_models(models, LISTED_SINCE), media_type="application/json")

    async def get_model(request: Request) -> Response:
        form, _ = choose(request.scope)
        if is_action(request.scope):
            raise HTTPException(405, headers={"Allow": "POST"})
        found = await find_model(request.path_params["name"], call_of(request))
        return Response(form.render_model(found, LISTED_SINCE), media_type="application/json")

    return create_app(
        Route(path, get_models),
        *action_routes(path),
        Route(f"{path}/{NAME}", get_model),
        error_body=openai_errors.error_body,
        form_of=lambda scope: choose(scope)[1],
    )
