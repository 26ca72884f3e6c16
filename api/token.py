"""POST /token/check: whether refresh tokens still work: those of `{"token"}`, or the caller's own."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lib.dialects.openai_errors import error_body
from lib.dialects.token_check import parse_token, render_checks
from lib.settings import current
from lib.upstreams.chatglm.check import check_tokens
from lib.web.app import create_app
from lib.web.body import read_body
from lib.web.caller import credential_of, identify, split_tokens

MAX_BODY_BYTES = 64 * 1024


async def post_check(request: Request) -> Response:
    settings = current()
    if credential_of(request):
        identify(request, settings)  # a wrong one is refused before its body is waited for
    token = parse_token(await read_body(request, limit=MAX_BODY_BYTES))
    caller = identify(request, settings, brought=token)
    checks = await check_tokens(split_tokens(token) if token else caller.refresh_tokens, settings)
    return Response(render_checks(checks), media_type="application/json")


app = create_app(Route("/token/check", post_check, methods=["POST"]), error_body=error_body)
