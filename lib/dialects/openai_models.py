"""The answers of GET /v1/models and GET /v1/models/{id} in OpenAI's form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from lib.chat.models import facts_of

OWNER = "chatglm"


class _Model(msgspec.Struct, kw_only=True):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = OWNER
    context_length: int | UnsetType
    """In tokens. OpenAI has none of the fields from here on; other gateways name them so."""
    max_output_tokens: int | UnsetType
    supports_tools: bool = True
    """The gateway makes up for a model without tools, and for one without structured output."""
    supports_structured_output: bool = True


class _Models(msgspec.Struct, kw_only=True):
    object: Literal["list"] = "list"
    data: list[_Model]


def render_models(names: Sequence[str], created: int) -> bytes:
    return msgspec.json.encode(_Models(data=[_model(name, created) for name in names]))


def render_model(name: str, created: int) -> bytes:
    return msgspec.json.encode(_model(name, created))


def _model(name: str, created: int) -> _Model:
    facts = facts_of(name)
    return _Model(
        id=name,
        created=created,
        context_length=facts.context_length if facts else UNSET,
        max_output_tokens=facts.max_output_tokens if facts else UNSET,
    )
