"""The names of fields in Google's JSON. Clients write them in camelCase or in snake_case."""

from __future__ import annotations

_OPAQUE = frozenset(
    {
        "args",
        "labels",
        "parameters",
        "parametersJsonSchema",
        "response",
        "responseJsonSchema",
        "responseSchema",
    }
)
"""The values of these fields are the client's own: their names stay as they are."""


def camelled(value: object) -> object:
    """Write the names of all fields in camelCase."""
    if isinstance(value, dict):
        named = ((_camel(name), inner) for name, inner in value.items())
        return {name: inner if name in _OPAQUE else camelled(inner) for name, inner in named}
    return [camelled(inner) for inner in value] if isinstance(value, list) else value


def _camel(name: str) -> str:
    if "_" not in name:
        return name
    first, *rest = name.strip("_").split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)
