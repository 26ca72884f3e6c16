"""The models of the official API, as far as a request depends on them (official.md §2.2 and §9, 2026-11)."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from lib.chat.models import FACTS, facts_of, find_name
from lib.chat.names import Mode, read_name
from lib.chat.request import ChatRequest, Effort

Thinking = Literal["always", "effort", "type", "never"]
"""How thinking is switched: by low, high and max only; by any effort; on or off; not at all."""

PLAN_ONLY = frozenset(("glm-5.4",))
"""The general API does not answer for these yet (2026-11-24)."""
CHAT_MODELS = tuple(name for name in FACTS if name not in PLAN_ONLY)

MAX_OUTPUT_TOKENS = 128_000
"""The API refuses more than 131,072 for every model."""

_FAMILIES: tuple[tuple[str, Thinking], ...] = (
    (r"glm-5\.[3-9].*", "always"),
    (r"glm-5\.2.*", "effort"),
    (r"glm-(?:5|5\.1|5-turbo|5v-turbo|4\.[5-9].*)", "type"),
)
_SEEING = re.compile(r"glm-[\d.]+v\b.*|glm-5\.3-flashx?")
_TOOL_STREAM = re.compile(r"glm-(?:5|4\.[6-9]).*")
_WITHOUT_TOOLS = frozenset(("glm-4v-flash", "glm-4.1v-thinking-flash"))

_EFFORT_OF_ALWAYS: dict[Effort, str] = {
    "none": "low",
    "minimal": "low",
    "low": "low",
    "medium": "high",
    "high": "high",
    "xhigh": "max",
    "max": "max",
}
"""These models refuse every other word. The Coding Plan maps the words in the same way."""


class Model(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    thinking: Thinking = "never"
    sees: bool = False
    has_tools: bool = True
    streams_tools: bool = False
    max_output_tokens: int = MAX_OUTPUT_TOKENS
    is_known: bool = True


class Target(msgspec.Struct, frozen=True):
    """The model and the switches that a caller's name and fields mean."""

    model: Model
    effort: Effort | None
    web_search: bool
    is_silent: bool


def model_named(name: str) -> Model:
    """Return the facts about a model. A model that the table does not have gets the facts of its family."""
    facts = facts_of(name) if name in FACTS else None
    sees = _SEEING.fullmatch(name) is not None
    return Model(
        id=name,
        thinking=next((how for form, how in _FAMILIES if re.fullmatch(form, name)), "never"),
        sees=sees,
        has_tools=name not in _WITHOUT_TOOLS,
        streams_tools=not sees and _TOOL_STREAM.fullmatch(name) is not None,
        max_output_tokens=facts.max_output_tokens if facts else MAX_OUTPUT_TOKENS,
        is_known=name in FACTS,
    )


def is_offered(name: str) -> bool:
    """Tell whether a name of the vendor's list is for the general API."""
    return name not in PLAN_ONLY and not name.endswith("-highspeed")


def resolve(chat: ChatRequest, *, known: frozenset[str], default_model: str) -> Target:
    """Choose model and switches. The request's own fields win over words in its model's name.

    `api/NAME` is NAME as it stands if no model is known that NAME and its words mean.
    """
    read = read_name(chat.model)
    found = find_name(chat.model, known)
    as_it_stands = chat.model.strip()[len("api/") :].strip() if read.upstream == "api" else ""
    # The words are a part of a name that is known with them, and of one that stands as it is.
    has_words = found != read.whole and (found is not None or not as_it_stands)
    mode, by_name = (read.mode, read.web_search) if has_words else (None, None)
    search = by_name if chat.web_search is None else chat.web_search
    return Target(
        model_named(found or as_it_stands or default_model),
        chat.effort or (_EFFORTS[mode] if mode else None),
        web_search=bool(search),
        is_silent=has_words and read.is_silent,
    )


_EFFORTS: dict[Mode, Effort | None] = {
    "fast": None,
    "thinking": "high",
    "deep_thinking": "max",
    "deep_research": "max",
}


def thinking_fields(model: Model, effort: Effort | None) -> dict[str, object]:
    """Return the fields that switch thinking; none leaves it to the model."""
    if effort is None or model.thinking == "never":
        return {}
    match model.thinking:
        case "always":
            return {"reasoning_effort": _EFFORT_OF_ALWAYS[effort]}
        case "effort":
            return {"reasoning_effort": effort}
        case _:
            is_off = effort in ("none", "minimal")
            return {"thinking": {"type": "disabled" if is_off else "enabled"}}


def thinks_hard(model: Model, effort: Effort | None) -> bool:
    """Tell whether the first word may take minutes: at high or max effort, and max is the default."""
    match model.thinking:
        case "always":
            return effort is None or _EFFORT_OF_ALWAYS[effort] != "low"
        case "effort":
            return effort not in ("none", "minimal")  # The API takes low and medium for high.
        case _:
            return False
