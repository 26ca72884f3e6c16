"""Texts of any length, the same for the same arguments."""

from __future__ import annotations

import random
from functools import lru_cache

_WORDS = (  # noqa: SIM905 - a list of forty strings is no easier to read
    "the of a model answer stream token river light is and to in under moon, time. small again: "
    '你好 世界 春天 模型 回答，以及 河流。 一个 `code` **bold** "quoted" back\\slash <tag> & 🙂 é ß\n\n- \n'
).split(" ")


@lru_cache(maxsize=16)
def sample_text(chars: int, seed: int = 1) -> str:
    """Make a text of exactly that many characters, the same for the same arguments."""
    words = random.Random(seed).choices(_WORDS, k=chars)
    return " ".join(words)[:chars]
