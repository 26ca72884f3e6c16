"""The limits of a clean-up. Tests hand in shorter ones."""

from __future__ import annotations

import msgspec


class TurnLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds that the end of a turn may take, step by step."""

    accept_s: float = 5.0
    """It waits so long for the id of a new conversation, which it needs for the deletion."""
    stop_s: float = 5.0
    """The upstream may take so long to stop. Then the lease is given back, and the conversation deleted."""
    drain_s: float = 5.0
    """A stopped stream may take so long to close. The upstream closes it at once."""


class CleanUpLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds that an exchange may take to end."""

    turn: TurnLimits = TurnLimits()
    whole_s: float = 20.0
    """The whole clean-up. It is done before the invocation ends, and no client waits for it."""
    delete_again_after_s: float = 0.5
    """Most reasons why a deletion fails are over by then."""
    min_s: float = 1.0
    """So much of the host's time is kept for giving the lease back, even after the host's end."""
