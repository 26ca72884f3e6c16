"""The answers of GET /v1/models and GET /v1/models/{id} in Anthropic's form."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec

from lib.chat.models import Listed, facts_of


class _Model(msgspec.Struct, kw_only=True):
    type: Literal["model"] = "model"
    id: str
    display_name: str
    created_at: str
    """RFC 3339."""
    max_input_tokens: int | None
    max_tokens: int | None
    """An answer has at most so many tokens; null if that is not known."""
    lifecycle: Literal["active"] = "active"


class _Models(msgspec.Struct, kw_only=True):
    data: list[_Model]
    has_more: bool = False
    """The list is never cut into pages."""
    first_id: str | None
    last_id: str | None


def render_models(models: Sequence[Listed], created: int) -> bytes:
    return msgspec.json.encode(
        _Models(
            data=[_model(model, created) for model in models],
            first_id=models[0].name if models else None,
            last_id=models[-1].name if models else None,
        )
    )


def render_model(model: Listed, created: int) -> bytes:
    return msgspec.json.encode(_model(model, created))


def _model(model: Listed, created: int) -> _Model:
    facts = facts_of(model.name)
    return _Model(
        id=model.name,
        display_name=model.name,
        created_at=datetime.fromtimestamp(created, UTC).isoformat().replace("+00:00", "Z"),
        max_input_tokens=facts.context_length if facts else None,
        max_tokens=facts.max_output_tokens if facts else None,
    )
