"""The answers of GET /v1/models and GET /v1/models/{id} in OpenAI's form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from lib.chat.models import Listed, facts_of


class _Model(msgspec.Struct, kw_only=True):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    context_length: int | UnsetType
    """In tokens. OpenAI has none of the fields from here on; other gateways name them so."""
    max_output_tokens: int | UnsetType
    supports_tools: bool = True
    """The gateway makes up for a model without tools, and for one without structured output."""
    supports_structured_output: bool = True


class _Models(msgspec.Struct, kw_only=True):
    object: Literal["list"] = "list"
    data: list[_Model]


def render_models(models: Sequence[Listed], created: int) -> bytes:
    return msgspec.json.encode(_Models(data=[_model(model, created) for model in models]))


def render_model(model: Listed, created: int) -> bytes:
    return msgspec.json.encode(_model(model, created))


def _model(model: Listed, created: int) -> _Model:
    facts = facts_of(model.name)
    return _Model(
        id=model.name,
        created=created,
        owned_by=model.owner,
        context_length=facts.context_length if facts else UNSET,
        max_output_tokens=facts.max_output_tokens if facts else UNSET,
    )
