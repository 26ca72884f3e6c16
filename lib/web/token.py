"""The application of /token/check and /tokens: it checks refresh tokens, and keeps the owner's accounts."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lib.dialects.openai_errors import error_body
from lib.dialects.token_check import parse_token, render_checks
from lib.dialects.tokens import parse_new_token, render_tokens
from lib.errors import AuthenticationFailed, InvalidRequest
from lib.web.app import create_app
from lib.web.body import read_body
from lib.web.call import call_of
from lib.web.caller import credential_of, split_tokens
from lib.web.guessing import GUESSES

MAX_BODY_BYTES = 64 * 1024
NO_STORE = {"cache-control": "no-store"}


def token_app() -> Starlette:
    return create_app(
        Route("/token/check", post_check, methods=["POST"]),
        Route("/tokens", get_tokens),
        Route("/tokens", post_token, methods=["POST"]),
        Route("/tokens/{label}", delete_token, methods=["DELETE"]),
        error_body=error_body,
    )


async def post_check(request: Request) -> Response:
    """Check the tokens of `{"token"}`, or the caller's own."""
    if credential_of(request):
        call_of(request)  # A wrong credential is refused before its body is read.
    token = parse_token(await read_body(request, limit=MAX_BODY_BYTES, setting=""))
    call = call_of(request, brought=token)
    desk, is_owners = call.services.accounts, call.caller.is_owner
    checks = await (
        desk.check(_tokens_in(token), is_owners=is_owners) if token else desk.check_own(call.caller)
    )
    if not is_owners and not all(check.live for check in checks):
        await GUESSES.slow_down_refused()
    return Response(render_checks(checks), media_type="application/json")


async def get_tokens(request: Request) -> Response:
    """List the owner's accounts."""
    call = call_of(request, owner_only=True)
    return _answer(await call.services.accounts.listed())


async def post_token(request: Request) -> Response:
    """Add an account: 201. If the token replaces an earlier one that was added: 200."""
    call = call_of(request, owner_only=True)
    token = parse_new_token(await read_body(request, limit=MAX_BODY_BYTES, setting=""))
    account, replaced = await call.services.accounts.add(token)
    return _answer(account, 200 if replaced else 201)


async def delete_token(request: Request) -> Response:
    call = call_of(request, owner_only=True)
    await call.services.accounts.remove(request.path_params["label"])
    return Response(status_code=204, headers=NO_STORE)


def _answer(content: object, status: int = 200) -> Response:
    return Response(render_tokens(content), status, NO_STORE, media_type="application/json")


def _tokens_in(body: str) -> tuple[str, ...]:
    """Return the tokens to check. The caller is known, so too many of them are no wrong credential."""
    try:
        return split_tokens(body)
    except AuthenticationFailed as error:
        raise InvalidRequest(error.message, param="token") from None
