"""The stop sequences of a request: one limit for every dialect."""

from __future__ import annotations

from lib.dialects.json_body import invalid_value

MAX_SEQUENCES = 16
"""OpenAI takes 4, and some clients send more. The search for each costs time in every piece of the answer."""
MAX_CHARS = 1_000
"""The search prepares a table as long as the sequence: 30 MB of them stopped every other request for 20 s."""


def read_stops(stop: str | list[str] | None, param: str) -> tuple[str, ...]:
    """Return the sequences without empty ones. Raise InvalidRequest if they are too many or too long."""
    sequences = tuple(text for text in ([stop] if isinstance(stop, str) else stop or ()) if text)
    if len(sequences) > MAX_SEQUENCES:
        raise invalid_value(param, f"at most {MAX_SEQUENCES} sequences", len(sequences))
    if any(len(text) > MAX_CHARS for text in sequences):
        longest = max(map(len, sequences))
        raise invalid_value(param, f"sequences of at most {MAX_CHARS} characters", f"{longest} characters")
    return sequences
