"""The arguments of a call, for the dialects that send them as an object and not as text."""

from __future__ import annotations

import msgspec


def as_object(arguments: str) -> msgspec.Raw:
    """Return the arguments as a JSON object. Anything else goes into one."""
    try:
        is_object = isinstance(msgspec.json.decode(arguments or "{}"), dict)
    except (msgspec.DecodeError, RecursionError):
        is_object = False
    if is_object:
        return msgspec.Raw((arguments or "{}").encode())
    return msgspec.Raw(msgspec.json.encode({"arguments": arguments}))
