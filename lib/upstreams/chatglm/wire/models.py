"""Chooses what serves a request: a model or an agent, a mode, and the search of the web."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lib.chat.names import Mode, ModelName, read_name
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
    name = read_name(request.model)
    model = _known_model(name, known)
    # A model of the whole name is that model, even if a word in it is a switch elsewhere.
    is_plain = name.whole in map(str.lower, known)
    mode = "fast" if is_plain or name.mode is None else name.mode
    by_name = None if is_plain else name.web_search
    search = by_name if request.web_search is None else request.web_search
    return Target(
        model=model or default_model,
        agent_id=name.base if name.is_agent and not is_plain else None,
        mode=mode if request.effort is None else _EFFORT_MODES[request.effort],
        web_search=default_web_search if search is None else search,
    )


def _known_model(name: ModelName, known: tuple[str, ...]) -> str | None:
    by_lower_name = {model.lower(): model for model in known}
    return by_lower_name.get(name.whole) or by_lower_name.get(name.base)


def is_silent(name: str) -> bool:
    """Tell whether a model's name asks for an answer without reasoning and sources."""
    return read_name(name).is_silent


def names_unknown_model(name: str, known: tuple[str, ...]) -> bool:
    """Tell whether the name may be a newer model of the upstream, unknown to us."""
    read = read_name(name)
    return not read.is_agent and read.base.startswith("glm") and _known_model(read, known) is None


def offered_names(models: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names to list: every model, and every model with each suffix that switches a mode."""
    return tuple(name for model in models for name in (model, *(f"{model}-{suffix}" for suffix in _SUFFIXES)))
