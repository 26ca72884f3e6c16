"""Requests for embeddings and rankings, and their results, the same for every client."""

from __future__ import annotations

from array import array
from typing import Literal

import msgspec

from lib.chat.events import Started

VectorForm = Literal["float", "base64"]

USUAL_DIMENSIONS = 2_048
"""The longest vectors of the known models, and their default (2026-09)."""
MAX_DIMENSIONS = 4_096
"""No known model makes a longer vector. 16 MB of small numbers would become 250 MB of objects."""


class EmbeddingRequest(msgspec.Struct, frozen=True, kw_only=True):
    inputs: tuple[str, ...]
    model: str = ""
    """The caller's own spelling. The answer repeats it."""
    dimensions: int | None = None
    form: VectorForm = "float"
    """`base64` is a list of float32 in base64, as OpenAI's SDKs ask for it."""

    @property
    def memory_bytes(self) -> int:
        """The vectors take so much memory until they are sent."""
        numbers = min(self.dimensions or USUAL_DIMENSIONS, MAX_DIMENSIONS)
        return len(self.inputs) * numbers * (4 if self.form == "base64" else 8)


class Embeddings(msgspec.Struct, frozen=True, kw_only=True):
    vectors: tuple[array[float], ...]
    """In the order of the inputs: `f` for `base64`, `d` for `float`. A list of floats would take five times
    the memory."""
    prompt_tokens: int
    total_tokens: int
    started: Started


class RankingRequest(msgspec.Struct, frozen=True, kw_only=True):
    query: str
    documents: tuple[str, ...]
    model: str = ""
    """The caller's own spelling. The answer repeats it."""
    top_n: int | None = None
    return_documents: bool = False


class Ranked(msgspec.Struct, frozen=True):
    index: int
    """The document's place in the request."""
    score: float


class Ranking(msgspec.Struct, frozen=True, kw_only=True):
    results: tuple[Ranked, ...]
    """The best one first."""
    prompt_tokens: int
    total_tokens: int
    started: Started
