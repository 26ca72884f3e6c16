"""A call as the model wrote it, before it is checked; and the two results of the check."""

from __future__ import annotations

from typing import Any

import msgspec


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    """As the model wrote it."""
    fields: tuple[tuple[str, str], ...] = ()
    """Arguments as raw text, in their order; a name may repeat."""
    body: str = ""
    """Text beside the arguments: JSON, lines of `key: value`, or the only argument."""
    arguments: Any = None
    """Arguments as JSON gave them: an object, or a string that holds one."""
    is_explicit: bool = True
    """The form has no other meaning: a fault in it is worth a repair turn. Other forms become text."""
    is_cut: bool = False
    """A value was not closed."""


class Call(msgspec.Struct, frozen=True):
    """A call that the client may run."""

    name: str
    arguments: str
    """A JSON object."""
    notes: tuple[str, ...] = ()
    """Things that were mended and may be worth a look: kinds for the log."""


class Fault(msgspec.Struct, frozen=True):
    """A call that cannot be run."""

    words: str
    """The reason, for the model: `in_limit must be an integer, got "five"`."""
    is_explicit: bool = True
    is_undeclared: bool = False
    """The name is no tool of the request's."""
