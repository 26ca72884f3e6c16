"""The answers of GET /v1beta/models and GET /v1beta/models/{name} in Google's form."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import UNSET, UnsetType

from lib.chat.models import Listed, facts_of

METHODS = ("generateContent", "streamGenerateContent", "countTokens")


class _Model(msgspec.Struct, kw_only=True, rename="camel"):
    name: str
    """`models/` and the name that a request has in its path."""
    version: str = "001"
    display_name: str
    input_token_limit: int | UnsetType
    output_token_limit: int | UnsetType
    supported_generation_methods: tuple[str, ...] = METHODS


class _Models(msgspec.Struct):
    models: list[_Model]
    """The list is never cut into pages."""


def render_models(models: Sequence[Listed], _created: int) -> bytes:
    return msgspec.json.encode(_Models([_model(model) for model in models]))


def render_model(model: Listed, _created: int) -> bytes:
    return msgspec.json.encode(_model(model))


def _model(model: Listed) -> _Model:
    facts = facts_of(model.name)
    return _Model(
        name=f"models/{model.name}",
        display_name=model.name,
        input_token_limit=facts.context_length if facts else UNSET,
        output_token_limit=facts.max_output_tokens if facts else UNSET,
    )
