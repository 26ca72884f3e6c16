"""The methods for tests, demos and benchmarks: scenes, and a look at the state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from simulator.scenes import read_tag

from .scenes import SCENES
from .state import OfficialState


@dataclass(eq=False, kw_only=True)
class Direction(OfficialState):
    """Every method may be called from any thread."""

    def play(self, scene: str, *, key: str | None = None, times: int = 1) -> None:
        """Queue a scene for the next chats of that key, or of any."""
        tag = read_tag(f"[scene:{scene}]")
        if tag is None or tag[0] not in SCENES:
            raise ValueError(f"expected one of {', '.join(sorted(SCENES))}; got {scene!r}")
        with self.lock:
            self.queues[key].extend([scene] * times)

    def state(self) -> dict[str, Any]:
        """Summarise the state for a reader over HTTP."""
        with self.lock:
            return {
                "keys": [
                    {
                        "label": key.label,
                        "in_flight": key.in_flight.total(),
                        "max_in_flight": key.max_in_flight,
                    }
                    for key in self.keys.values()
                ],
                "calls": len(self.calls),
                "last_calls": [f"{call.method} {call.path}" for call in self.calls[-20:]],
                "violations": list(self.violations),
                "scenes": {entry.name: entry.about for entry in SCENES.values()},
            }
