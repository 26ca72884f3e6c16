"""The document, the page and the headers, as the live gateway sends them."""

from __future__ import annotations

import re

import pytest

from lib.version import VERSION
from tests.support.client import Client
from tests.support.live import LiveGateway
from tests.system.openapi.document import OPENAPI, Operation, operations


def test_the_document_is_served_beside_the_page(client: Client, gateway: LiveGateway) -> None:
    for path in ("/openapi.json", "/api/openapi.json"):
        answer = client.get(path)
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == {
            **OPENAPI,
            "info": OPENAPI["info"] | {"version": VERSION},
            "servers": [{"url": gateway.url}],
        }
    assert client.get("/openapi.json", headers={"authorization": ""}).status_code == 200
    assert 'href="openapi.json"' in client.get("/").text


def test_the_page_is_hardened_on_the_wire(client: Client) -> None:
    headers = client.get("/").headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("operation", operations(), ids=lambda operation: operation.name)
def test_no_browser_takes_an_answer_for_something_else(operation: Operation, client: Client) -> None:
    path = re.sub(r"{\w+}", "none", operation.path)
    for headers in ({}, {"authorization": ""}):
        answer = client.request(operation.method.upper(), path, headers=headers)
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get(f"{path}/nowhere").headers["x-content-type-options"] == "nosniff"
