"""The answers of GET /v1/models and GET /v1/models/{id}."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

OWNER = "chatglm"


class _Model(msgspec.Struct, kw_only=True):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = OWNER


class _Models(msgspec.Struct, kw_only=True):
    object: Literal["list"] = "list"
    data: list[_Model]


def render_models(names: Sequence[str], created: int) -> bytes:
    return msgspec.json.encode(_Models(data=[_Model(id=name, created=created) for name in names]))


def render_model(name: str, created: int) -> bytes:
    return msgspec.json.encode(_Model(id=name, created=created))
