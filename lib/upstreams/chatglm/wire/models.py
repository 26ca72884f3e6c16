"""Reads a caller's model name: it names a model or an agent, a mode, and switches."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import msgspec

from lib.chat.request import ChatRequest, Effort

if TYPE_CHECKING:
    from lib.upstreams.chatglm.wire.drawing import Drawing

Mode = Literal["fast", "thinking", "deep_thinking", "deep_research"]

BUILT_IN_MODELS = ("glm-5.3", "glm-5.3-flash")
"""The upstream offered these on 2026-09-29. They are used if the list cannot be fetched."""

_AGENT_ID = re.compile(r"[a-z0-9]{24,64}")
_SEPARATOR = re.compile(r"[-_:/ ]+")
_MODE_WORDS: dict[str, Mode] = {
    "think": "thinking",
    "thinking": "thinking",
    "zero": "thinking",
    "deepthink": "deep_thinking",
    "max": "deep_thinking",
    "deepresearch": "deep_research",
}
_SEARCH_WORDS = {"search": True, "nosearch": False}
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


def is_agent_id(name: str) -> bool:
    return _AGENT_ID.fullmatch(name) is not None


def resolve(
    request: ChatRequest, *, known: tuple[str, ...], default_model: str, default_web_search: bool
) -> Target:
    """Choose the model, mode and switches. The request's own fields win over words in its model's name."""
    words = _Words(request.model, known)
    search = words.web_search if request.web_search is None else request.web_search
    return Target(
        model=words.model or default_model,
        agent_id=words.agent_id,
        mode=words.mode if request.effort is None else _EFFORT_MODES[request.effort],
        web_search=default_web_search if search is None else search,
    )


def is_silent(name: str) -> bool:
    """Tell whether a model's name asks for an answer without reasoning and sources."""
    return _Words(name, ()).silent


def names_unknown_model(name: str, known: tuple[str, ...]) -> bool:
    """Tell whether the name may be a newer model of the upstream, unknown to us."""
    words = _Words(name, known)
    return words.model is None and words.agent_id is None and words.base.startswith("glm")


def offered_names(models: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names to list: every model, and every model with each suffix that switches a mode."""
    return tuple(name for model in models for name in (model, *(f"{model}-{suffix}" for suffix in _SUFFIXES)))


class _Words:
    """A model's name, read word by word. The words that are not switches are the base name."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        self.model: str | None = None
        self.agent_id: str | None = None
        self.mode: Mode = "fast"
        self.web_search: bool | None = None
        self.silent = False
        self._by_lower_name = {model.lower(): model for model in known}
        self.base = name = name.strip().lower()
        if name in self._by_lower_name:  # Even if a word in it is a switch elsewhere.
            self.model = self._by_lower_name[name]
            return
        words = [word for word in self._joined(_SEPARATOR.split(name)) if not self._is_switch(word)]
        self.base = "-".join(words)
        if words and is_agent_id(words[0]):
            self.agent_id = words[0]
        else:
            self.model = self._by_lower_name.get(self.base)

    @staticmethod
    def _joined(words: list[str]) -> list[str]:
        """Write `deep-research` and `deep-think` as one word."""
        joined: list[str] = []
        for word in words:
            if joined and joined[-1] == "deep" and f"deep{word}" in _MODE_WORDS:
                joined[-1] = f"deep{word}"
            else:
                joined.append(word)
        return joined

    def _is_switch(self, word: str) -> bool:
        if word in _MODE_WORDS:
            self.mode = _MODE_WORDS[word]
        elif word in _SEARCH_WORDS:
            self.web_search = _SEARCH_WORDS[word]
        elif word == "silent":
            self.silent = True
        else:
            return False
        return True
