"""The address that the gateway was asked at, for pages and documents that name it."""

from __future__ import annotations

from starlette.requests import Request


def own_address(request: Request) -> str:
    """Return what our paths begin with, as the caller sees it; the host is the caller's own word."""
    # Not request.url: it cannot be made of every Host that a stranger may send.
    host = request.headers.get("host", "localhost")
    return f"{_scheme(request)}://{host}{_stage(request)}"


def _stage(request: Request) -> str:
    """Return what API Gateway puts before our paths (`/prod`), and takes off before we see them."""
    outside = request.scope.get("aws.event", {}).get("requestContext", {}).get("path") or ""
    return str(outside).removesuffix(request.scope["path"]).rstrip("/")


def _scheme(request: Request) -> str:
    """Return what the browser speaks; hosts end TLS before us and say so here. Nothing else trusts it."""
    forwarded = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    return forwarded if forwarded in ("http", "https") else str(request.scope.get("scheme", "http"))
