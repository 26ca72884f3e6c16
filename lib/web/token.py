"""The application of POST /token/check. It checks if refresh tokens still work."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lib.dialects.openai_errors import error_body
from lib.dialects.token_check import parse_token, render_checks
from lib.errors import AuthenticationFailed, InvalidRequest
from lib.web.app import create_app
from lib.web.body import read_body
from lib.web.call import call_of
from lib.web.caller import credential_of, split_tokens

MAX_BODY_BYTES = 64 * 1024


def token_app() -> Starlette:
    return create_app(Route("/token/check", post_check, methods=["POST"]), error_body=error_body)


async def post_check(request: Request) -> Response:
    """Check the tokens of `{"token"}`, or the caller's own."""
    if credential_of(request):
        call_of(request)  # A wrong credential is refused before its body is read.
    token = parse_token(await read_body(request, limit=MAX_BODY_BYTES, setting=""))
    call = call_of(request, brought=token)
    checked = _tokens_in(token) if token else call.caller.refresh_tokens
    checks = await call.services.accounts.check(checked)
    return Response(render_checks(checks), media_type="application/json")


def _tokens_in(body: str) -> tuple[str, ...]:
    """Return the tokens to check. The caller is known, so too many of them are no wrong credential."""
    try:
        return split_tokens(body)
    except AuthenticationFailed as error:
        raise InvalidRequest(error.message, param="token") from None
