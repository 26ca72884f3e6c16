"""Make the `Call` of a request: its caller, the services, its deadline, its trace."""

from __future__ import annotations

from starlette.requests import Request

from lib.settings import current
from lib.trace import current_trace
from lib.upstreams.choose import services_of
from lib.upstreams.interface import Call
from lib.web.caller import identify, identify_owner
from lib.web.deadline import deadline_of
from lib.web.ending import told_as_error

UNPROVEN_BODY_BYTES = 1024 * 1024
"""A body up to this size is read before the upstream has taken the caller's token."""


def call_of(request: Request, *, brought: str | None = None, owner_only: bool = False) -> Call:
    """Raise AuthenticationFailed if the request has no valid credential.

    `brought` are refresh tokens in the body. They are the credential if no header has one. `owner_only`
    refuses every credential except a key of API_KEYS.
    """
    settings = current()
    caller = identify_owner(request, settings) if owner_only else identify(request, settings, brought=brought)
    return Call(
        services=services_of(settings),
        caller=caller,
        trace=current_trace(),
        deadline_at=deadline_of(request, settings),
        ending=told_as_error,
    )


async def body_limit(request: Request, call: Call) -> int:
    """Return the limit of the body. The token of an unknown caller is tried before a large body is read."""
    if not call.caller.is_owner:
        declared = request.headers.get("content-length", "")
        if not declared.isdecimal() or len(declared) > 9 or int(declared) > UNPROVEN_BODY_BYTES:
            await call.services.prove(call.caller)
    return call.settings.max_body_bytes
