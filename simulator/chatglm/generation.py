"""One generation under way: its conversation, and if it was stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from simulator.records import Conversation
from simulator.steps import Cue


@dataclass(eq=False, slots=True)
class Generation:
    cue: Cue
    conversation: Conversation
    wake: Callable[[], None]
    """Tell the player, from any thread, to look at `stopped`."""
    stopped: bool = False
    is_open: bool = True
    """True as long as a client reads it."""

    def stop(self) -> None:
        """End the answer early; may be called from any thread."""
        self.stopped, self.is_open = True, False
        self.wake()
