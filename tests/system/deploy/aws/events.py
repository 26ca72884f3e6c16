"""Invocation events, as AWS documents them for API Gateway's REST and HTTP APIs and for a Function URL."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

STAGE = "prod"


@dataclass(frozen=True)
class Asked:
    """A request, before it has become somebody's event."""

    method: str
    path: str
    """As it was sent: percent-encoded."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    is_base64: bool = False
    cookies: tuple[str, ...] = ()
    query: str = ""

    @property
    def text(self) -> str | None:
        if self.body is None:
            return None
        return base64.b64encode(self.body).decode() if self.is_base64 else self.body.decode()


MakeEvent = Callable[[Asked], dict[str, Any]]


def rest_v1(asked: Asked) -> dict[str, Any]:
    headers = {"Host": "abc123.execute-api.eu-central-1.amazonaws.com", "X-Forwarded-Proto": "https"}
    multi = {name: [value] for name, value in {**headers, **asked.headers}.items()}
    if asked.cookies:
        multi["Cookie"] = list(asked.cookies)
    query = parse_qsl(asked.query, keep_blank_values=True)
    return {
        "resource": "/{proxy+}",
        "path": asked.path,  # without the stage, which requestContext.path has
        "httpMethod": asked.method,
        "headers": {name: values[-1] for name, values in multi.items()},
        "multiValueHeaders": multi,
        "queryStringParameters": dict(query) or None,
        "multiValueQueryStringParameters": {
            name: [value for other, value in query if other == name] for name, _ in query
        }
        or None,
        "pathParameters": {"proxy": asked.path.lstrip("/")},
        "stageVariables": None,
        "requestContext": {
            "resourceId": "abc",
            "resourcePath": "/{proxy+}",
            "httpMethod": asked.method,
            "path": f"/{STAGE}{asked.path}",
            "protocol": "HTTP/1.1",
            "stage": STAGE,
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "domainName": headers["Host"],
            "identity": {"sourceIp": "203.0.113.7", "userAgent": "test"},
        },
        "body": asked.text,
        "isBase64Encoded": asked.is_base64,
    }


def http_v2(asked: Asked, domain: str = "abc123.execute-api.eu-central-1.amazonaws.com") -> dict[str, Any]:
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": asked.path,
        "rawQueryString": asked.query,
        # lower case, several of one name joined by commas; cookies apart
        "headers": {"host": domain, **{name.lower(): value for name, value in asked.headers.items()}},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abc123",
            "domainName": domain,
            "http": {
                "method": asked.method,
                "path": asked.path,
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
                "userAgent": "test",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "$default",
            "stage": "$default",
            "timeEpoch": 1790000000000,
        },
        "isBase64Encoded": asked.is_base64,
    }
    if asked.query:
        event["queryStringParameters"] = dict(parse_qsl(asked.query))
    if asked.cookies:
        event["cookies"] = list(asked.cookies)
    if asked.body is not None:
        event["body"] = asked.text
    return event


def function_url(asked: Asked) -> dict[str, Any]:
    event = http_v2(asked, domain="abc123.lambda-url.eu-central-1.on.aws")
    event["requestContext"]["http"]["path"] = unquote(asked.path)  # decoded, where rawPath is not
    return event


EVENTS: list[MakeEvent] = [rest_v1, http_v2, function_url]


def body_of(answer: dict[str, Any]) -> bytes:
    body: str = answer.get("body", "")
    return base64.b64decode(body) if answer.get("isBase64Encoded") else body.encode()
