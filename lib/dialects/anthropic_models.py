"""The answers of GET /v1/models and GET /v1/models/{id} in Anthropic's form."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec

from lib.chat.models import facts_of


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


def render_models(names: Sequence[str], created: int) -> bytes:
    return msgspec.json.encode(
        _Models(
            data=[_model(name, created) for name in names],
            first_id=names[0] if names else None,
            last_id=names[-1] if names else None,
        )
    )


def render_model(name: str, created: int) -> bytes:
    return msgspec.json.encode(_model(name, created))


def _model(name: str, created: int) -> _Model:
    facts = facts_of(name)
    return _Model(
        id=name,
        display_name=name,
        created_at=datetime.fromtimestamp(created, UTC).isoformat().replace("+00:00", "Z"),
        max_input_tokens=facts.context_length if facts else None,
        max_tokens=facts.max_output_tokens if facts else None,
    )
