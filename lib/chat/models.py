"""Names of models: the words in them, and the facts about the vendor's models that no upstream tells."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Literal

import msgspec

Mode = Literal["fast", "thinking", "deep_thinking", "deep_research"]

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


class Listed(msgspec.Struct, frozen=True):
    """A model that can be asked for."""

    name: str
    owner: str = "chatglm"
    """The service that answers with it: `chatglm`, or the vendor's official API, `z-ai`."""


class ModelFacts(msgspec.Struct, frozen=True):
    context_length: int
    """Tokens."""
    max_output_tokens: int


_MILLION = ModelFacts(1_000_000, 128_000)
_LARGE = ModelFacts(200_000, 128_000)
_MIDDLE = ModelFacts(128_000, 96_000)
_SEEING = ModelFacts(128_000, 32_000)

FACTS = {
    **dict.fromkeys(("glm-5.4", "glm-5.3", "glm-5.3-flash", "glm-5.3-flashx", "glm-5.2"), _MILLION),
    **dict.fromkeys(("glm-5.1", "glm-5", "glm-5-turbo", "glm-5v-turbo"), _LARGE),
    **dict.fromkeys(("glm-4.7", "glm-4.7-flashx", "glm-4.7-flash", "glm-4.6"), _LARGE),
    **dict.fromkeys(("glm-4.5", "glm-4.5-x", "glm-4.5-air", "glm-4.5-airx", "glm-4.5-flash"), _MIDDLE),
    **dict.fromkeys(("glm-4.6v", "glm-4.6v-flashx", "glm-4.6v-flash"), _SEEING),
    "glm-4-flash-250414": ModelFacts(128_000, 16_000),
    "glm-4-long": ModelFacts(1_000_000, 4_000),
    **dict.fromkeys(("glm-4.5v", "glm-4.1v-thinking-flash"), ModelFacts(64_000, 16_000)),
    "glm-4v-flash": ModelFacts(16_000, 1_000),
}
"""As the vendor documents them for its official API (September 2026). chatglm.cn documents no numbers."""


def facts_of(name: str) -> ModelFacts | None:
    """Return the facts about the model that a caller's name means, or None if they are not known."""
    base = name.strip().lower().removeprefix("api/").removeprefix("web/")
    return FACTS.get(base) or FACTS.get(ModelWords(base, ()).base)


def names_agent(name: str) -> bool:
    """Tell whether a caller's name is the id of an agent, with or without words behind it."""
    return ModelWords(name, ()).agent_id is not None


def is_agent_id(name: str) -> bool:
    return _AGENT_ID.fullmatch(name) is not None


def find_name(wanted: str, known: Collection[str]) -> str | None:
    """Return the model that a caller's name means, as a whole or without the words that are switches."""
    whole = wanted.strip().lower()
    if whole in known:
        return whole
    base = ModelWords(whole, ()).base
    return base if base in known else None


class ModelWords:
    """A caller's name of a model, read word by word. The words that are not switches are the base name."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.model: str | None = None
        self.agent_id: str | None = None
        self.mode: Mode = "fast"
        self.web_search: bool | None = None
        self.silent = False
        self.switches: list[str] = []
        """The words for thinking and silence, as they can stand behind another model's name."""
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
            self.switches.append(word)
        elif word in _SEARCH_WORDS:
            self.web_search = _SEARCH_WORDS[word]
        elif word == "silent":
            self.silent = True
            self.switches.append(word)
        else:
            return False
        return True
