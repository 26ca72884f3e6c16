"""The document at `/openapi.json`: the requests and answers of every endpoint."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from lib.version import VERSION
from lib.web.address import own_address

DOCUMENT = Path(__file__).resolve().parents[1] / "dialects" / "openapi.json"
_SERVER = b'"{server}"'
_VERSION = b'"{version}"'


def openapi_document(request: Request) -> Response:
    """Answer with the document. Its server is the address that the client used."""
    server = msgspec.json.encode(own_address(request))
    # A cache must not keep it: the client names the host, and other clients must not be sent there.
    headers = {"cache-control": "no-store"}
    document = _read().replace(_SERVER, server)
    return Response(document, headers=headers, media_type="application/json")


@lru_cache(maxsize=1)
def _read() -> bytes:
    """Read the document at the first request, because no cold start needs it."""
    return DOCUMENT.read_bytes().replace(_VERSION, msgspec.json.encode(VERSION))
