"""Reads a model's name: the upstream, the model or agent, and the words that switch a mode or the search."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

import msgspec

Mode = Literal["fast", "thinking", "deep_thinking", "deep_research"]
UpstreamName = Literal["web", "api"]

MODE_WORDS: dict[str, Mode] = {
    "think": "thinking",
    "thinking": "thinking",
    "zero": "thinking",
    "deepthink": "deep_thinking",
    "max": "deep_thinking",
    "deepresearch": "deep_research",
}
SEARCH_WORDS = {"search": True, "nosearch": False}
SILENT = "silent"
FAMILIES = ("glm", "claude")
"""The words count in names that begin so. In `qwen-max` or `o3-search` they belong to the name."""
MIN_MISSPELT_CHARS = 5
"""A shorter word is too near to other words."""
MAX_REMEMBERED = 256

_AGENT_ID = re.compile(r"[a-z0-9]{24,64}")
_SEPARATOR = re.compile(r"[-_:/ ]+")
_WORDS = frozenset((*MODE_WORDS, *SEARCH_WORDS, SILENT))
_KNOWN = _WORDS | {"deep", "research"}
"""`deep-think` and `deep-research` are two words."""


class ModelName(msgspec.Struct, frozen=True, kw_only=True):
    """A caller's name of a model, read. `base` lacks the words of docs/models.md."""

    whole: str
    """The name without the upstream, in lower case."""
    base: str
    upstream: UpstreamName | None = None
    is_agent: bool = False
    mode: Mode | None = None
    web_search: bool | None = None
    is_silent: bool = False
    misspelt: tuple[tuple[str, str], ...] = ()
    """Each misspelt word, and the word that it was read as."""


def is_agent_id(name: str) -> bool:
    return _AGENT_ID.fullmatch(name) is not None


@lru_cache(MAX_REMEMBERED)
def read_name(name: str) -> ModelName:
    """Read the name. The last word of a kind counts."""
    whole = name.strip().lower()
    upstream: UpstreamName | None = None
    for known in ("web", "api"):
        if whole.startswith(f"{known}/"):
            upstream, whole = known, whole.removeprefix(f"{known}/").strip()
            break
    parts = _SEPARATOR.split(whole)
    is_agent = is_agent_id(parts[0])
    if not (is_agent or upstream or whole.startswith(FAMILIES)):
        return ModelName(whole=whole, base=whole)
    misspelt = tuple((part, word) for part in parts if (word := _misspelt(part)) is not None)
    words = _joined([dict(misspelt).get(part, part) for part in parts])
    modes = [MODE_WORDS[word] for word in words if word in MODE_WORDS]
    searches = [SEARCH_WORDS[word] for word in words if word in SEARCH_WORDS]
    base = "-".join(word for word in words if word not in _WORDS)
    return ModelName(
        whole=whole,
        base=parts[0] if is_agent else base,
        upstream=upstream,
        is_agent=is_agent,
        mode=modes[-1] if modes else None,
        web_search=searches[-1] if searches else None,
        is_silent=SILENT in words,
        misspelt=misspelt,
    )


def _joined(words: list[str]) -> list[str]:
    """Write `deep-research` and `deep-think` as one word."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] == "deep" and f"deep{word}" in MODE_WORDS:
            joined[-1] = f"deep{word}"
        else:
            joined.append(word)
    return joined


def _misspelt(part: str) -> str | None:
    """Return the word that is one slip away: a letter too many, too few or wrong, or two that are swapped."""
    if len(part) < MIN_MISSPELT_CHARS or part in _KNOWN:
        return None
    return next(
        (word for word in sorted(_KNOWN) if len(word) >= MIN_MISSPELT_CHARS and _is_near(part, word)), None
    )


def _is_near(one: str, other: str) -> bool:
    short, long = sorted((one, other), key=len)
    if len(long) - len(short) == 1:
        return any(long[:at] + long[at + 1 :] == short for at in range(len(long)))
    wrong = [at for at, (a, b) in enumerate(zip(short, long, strict=False)) if a != b]
    if len(short) != len(long) or len(wrong) > 2:
        return False
    if len(wrong) < 2:
        return True
    at, after = wrong
    return after == at + 1 and (one[at], one[after]) == (other[after], other[at])
