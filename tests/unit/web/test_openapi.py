from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request

from lib.version import VERSION
from lib.web.openapi import DOCUMENT, openapi_document


def served(host: str) -> dict[str, Any]:
    scope = {
        "type": "http",
        "scheme": "http",
        "path": "/openapi.json",
        "query_string": b"",
        "headers": [(b"host", host.encode())],
    }
    response = openapi_document(Request(scope))
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store", "whoever asks names the server in it"
    document: dict[str, Any] = json.loads(bytes(response.body))
    return document


def test_the_documents_server_is_the_address_that_it_was_asked_at() -> None:
    kept = json.loads(DOCUMENT.read_text())
    document = served("gateway.example")
    assert document == {**kept, "info": document["info"], "servers": [{"url": "http://gateway.example"}]}
    assert document["info"] == {**kept["info"], "version": VERSION}
    assert served("other.example")["servers"] == [{"url": "http://other.example"}]


def test_a_hostile_host_stays_within_its_text() -> None:
    assert served('x"}],"a":"')["servers"] == [{"url": 'http://x"}],"a":"'}]
