"""The document at `/openapi.json`: what every endpoint takes and answers."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from lib.web.address import own_address

DOCUMENT = Path(__file__).resolve().parents[1] / "dialects" / "openapi.json"
_SERVER = b'"{server}"'


def openapi_document(request: Request) -> Response:
    """Answer with the document, whose server is the address that it was asked at."""
    server = msgspec.json.encode(own_address(request))
    # Not to be kept: whoever asks names the host, and nobody else should be sent there.
    headers = {"cache-control": "no-store"}
    return Response(_read().replace(_SERVER, server), headers=headers, media_type="application/json")


@lru_cache(maxsize=1)
def _read() -> bytes:
    """Read it when it is first asked for: no cold start needs it."""
    return DOCUMENT.read_bytes()
