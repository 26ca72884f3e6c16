"""The register of the JSON endpoints. Each takes a call and returns `result`, or a Reply."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simulator.records import Call
from simulator.steps import Reply

from .accounts import Account, Bearer
from .state import State

Handler = Callable[[State, Call, Account], Any]


@dataclass(frozen=True, slots=True)
class Endpoint:
    method: str
    path: str
    handle: Handler
    bearer: Bearer
    takes_stale: bool = False
    """True if a signature with an old time is accepted: a client that asks for the time may not have it."""


ENDPOINTS: list[Endpoint] = []


def endpoint(
    method: str, path: str, *, bearer: Bearer = "access", takes_stale: bool = False
) -> Callable[[Handler], Handler]:
    def register(handle: Handler) -> Handler:
        ENDPOINTS.append(Endpoint(method, path, handle, bearer, takes_stale))
        return handle

    return register


def missing_field(*path: str) -> Reply:
    """Answer in flask-pydantic's shape, as captured (HTTP 400 is that library's default)."""
    error = {"loc": list(path), "msg": "field required", "type": "value_error.missing"}
    return Reply(400, {"validation_error": {"body_params": [error]}})
