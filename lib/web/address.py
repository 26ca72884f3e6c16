"""The gateway's own address, as the client used it. Pages and documents name it."""

from __future__ import annotations

from starlette.requests import Request


def own_address(request: Request) -> str:
    """Return the start of our URLs, as the caller sees it. The caller names the host; we do not check it."""
    # Starlette cannot make request.url from every Host that a stranger may send.
    host = request.headers.get("host", "localhost")
    return f"{_scheme(request)}://{host}{_stage(request)}"


def outer_path(request: Request) -> str:
    """Return the path with API Gateway's prefix (`/prod`), if there is one."""
    outside = request.scope.get("aws.event", {}).get("requestContext", {}).get("path")
    return str(outside or request.scope["path"])


def _stage(request: Request) -> str:
    """Return API Gateway's prefix of our paths. It removes the prefix before we see the path."""
    return outer_path(request).removesuffix(request.scope["path"]).rstrip("/")


def _scheme(request: Request) -> str:
    """Return the browser's scheme. Hosts end TLS before us and name the scheme in this header.

    Nothing else trusts the header.
    """
    forwarded = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    return forwarded if forwarded in ("http", "https") else str(request.scope.get("scheme", "http"))
