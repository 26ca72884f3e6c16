"""Facts about the vendor's models that no upstream tells."""

from __future__ import annotations

import msgspec

from lib.chat.names import read_name


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
    read = read_name(name)
    return FACTS.get(read.whole) or FACTS.get(read.base)
