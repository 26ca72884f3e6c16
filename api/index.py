"""GET /: a page for whoever opens the address in a browser; also answers for every path that nobody has."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lib.dialects.openai_errors import error_body
from lib.web.app import create_app
from lib.web.welcome import welcome_page


async def get_index(request: Request) -> Response:
    return welcome_page(request)


app = create_app(Route("/", get_index), Route("/index", get_index), error_body=error_body)
