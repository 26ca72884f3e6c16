"""The form in which one request gets its errors: a status and a body."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import Scope

from lib.dialects import anthropic_errors, gemini_errors
from lib.dialects.interface import ErrorForm
from lib.errors import GatewayError
from lib.trace import current_trace

ErrorBody = Callable[[GatewayError], bytes]
FormOf = Callable[[Scope], ErrorForm | None]
"""Chooses the form for a request; None means the error's own status, and the app's `error_body`."""


def own_form(_: Scope) -> None:
    """Choose no other form for any request."""


def form_by_path(scope: Scope) -> ErrorForm | None:
    """Choose the form of the dialect with paths like this wrong path."""
    path = f"{scope['path']}/".removeprefix("/api")
    if path.startswith("/v1beta/"):
        return gemini_errors.ERROR_FORM
    return anthropic_errors.ERROR_FORM if path.startswith("/v1/messages/") else None


def status_and_body(
    error: GatewayError, error_body: ErrorBody, form: ErrorForm | None = None
) -> tuple[int, bytes]:
    if form is None:
        return error.status, error_body(error)
    return form.status(error), form.body(error, current_trace().request_id)
