"""The document as the tests read it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lib.web.openapi import DOCUMENT

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}

TEXT = DOCUMENT.read_text()
OPENAPI: dict[str, Any] = json.loads(TEXT)
SCHEMAS: dict[str, Any] = OPENAPI["components"]["schemas"]


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    told: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.method.upper()} {self.path}"

    @property
    def responses(self) -> dict[str, Any]:
        """By status, with what they refer to in its place."""
        return {status: resolved(response) for status, response in self.told["responses"].items()}


def operations() -> list[Operation]:
    return [
        Operation(method, path, told)
        for path, item in OPENAPI["paths"].items()
        for method, told in item.items()
        if method in METHODS
    ]


def resolved(value: Any) -> Any:
    """Follow references until there is none."""
    while isinstance(value, dict) and "$ref" in value:
        value = at(value["$ref"])
    return value


def at(reference: str) -> Any:
    value: Any = OPENAPI
    for name in reference.removeprefix("#/").split("/"):
        value = value[name]
    return value


def references(value: Any) -> Iterator[str]:
    for part in everything(value):
        if isinstance(part, dict) and isinstance(part.get("$ref"), str):
            yield part["$ref"]


def everything(value: Any) -> Iterator[Any]:
    """Walk through a value and all that is in it."""
    yield value
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in inside:
        yield from everything(part)
