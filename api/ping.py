"""GET /ping: the function runs. It looks at nothing else."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from lib.dialects.openai_errors import error_body
from lib.web.app import create_app


async def get_ping(_: Request) -> PlainTextResponse:
    return PlainTextResponse("pong")


app = create_app(Route("/ping", get_ping), error_body=error_body, is_always_open=True)
