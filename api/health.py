"""GET /health: what is configured and what is missing, without a secret and without asking the upstream."""

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from lib.dialects.openai_errors import error_body
from lib.settings import current
from lib.web.app import create_app


async def get_health(_: Request) -> JSONResponse:
    settings = current()
    gaps = settings.gaps()
    return JSONResponse(
        {
            "status": "degraded" if gaps else "ok",
            "accounts": len(settings.refresh_tokens),
            "api_keys": len(settings.api_keys),
            "passthrough": settings.allow_passthrough,
            "store": settings.store_url.partition(":")[0],
            "default_model": settings.default_model,
            "web_search_by_default": settings.web_search,
            "max_duration_s": settings.max_duration_s,
            "notes": gaps,
        },
        headers={"cache-control": "no-store"},
    )


app = create_app(Route("/health", get_health), error_body=error_body)
