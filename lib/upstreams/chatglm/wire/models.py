"""Reads a caller's model name for chatglm.cn: it names a model or an agent, a mode, and switches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lib.chat.models import Mode, ModelWords
from lib.chat.request import ChatRequest, Effort

if TYPE_CHECKING:
    from lib.upstreams.chatglm.wire.drawing import Drawing

BUILT_IN_MODELS = ("glm-5.3", "glm-5.3-flash")
"""The upstream offered these on 2026-09-29. They are used if the list cannot be fetched."""

_EFFORT_MODES: dict[Effort, Mode] = {
    "none": "fast",
    "minimal": "fast",
    "low": "fast",
    "medium": "thinking",
    "high": "thinking",
    "xhigh": "deep_thinking",
    "max": "deep_thinking",
}
_SUFFIXES = ("search", "think", "deepthink", "deepresearch")


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """The upstream's part of a request: the fields of the request body are made from it."""

    model: str
    """The upstream's `selected_model`."""
    agent_id: str | None = None
    """The id of an agent, if it is not the main one."""
    mode: Mode = "fast"
    web_search: bool = False
    drawing: Drawing | None = None
    """The fields for a drawing agent; None in a chat."""


def resolve(
    request: ChatRequest, *, known: tuple[str, ...], default_model: str, default_web_search: bool
) -> Target:
    """Choose the model, mode and switches. The request's own fields win over words in its model's name."""
    words = ModelWords(request.model, known)
    search = words.web_search if request.web_search is None else request.web_search
    return Target(
        model=words.model or default_model,
        agent_id=words.agent_id,
        mode=words.mode if request.effort is None else _EFFORT_MODES[request.effort],
        web_search=default_web_search if search is None else search,
    )


def is_silent(name: str) -> bool:
    """Tell whether a model's name asks for an answer without reasoning and sources."""
    return ModelWords(name, ()).silent


def names_unknown_model(name: str, known: tuple[str, ...]) -> bool:
    """Tell whether the name may be a newer model of the upstream, unknown to us."""
    words = ModelWords(name, known)
    return words.model is None and words.agent_id is None and words.base.startswith("glm")


def offered_names(models: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names to list: every model, and every model with each suffix that switches a mode."""
    return tuple(name for model in models for name in (model, *(f"{model}-{suffix}" for suffix in _SUFFIXES)))
