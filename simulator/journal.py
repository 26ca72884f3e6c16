"""The journal of a simulator: the calls so far, their violations, and the faults for the next ones."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from .faults import Fault, Faults, make_reply
from .records import Call
from .steps import Json

MAX_VIOLATIONS = 10_000


@dataclass(eq=False, kw_only=True)
class Journal:
    """Remember calls and violations. Every method may be called from any thread."""

    max_calls: int = 10_000
    """The journal keeps so many calls and drops the oldest."""
    lock: Any = field(default_factory=threading.RLock, repr=False)
    calls: list[Call] = field(default_factory=list)
    held_back: list[Call] = field(default_factory=list)
    """Calls that a fault delays at the moment."""
    resets: int = 0
    """A call that was held back over a reset is not carried out."""
    violations: list[str] = field(default_factory=list)
    faults: Faults = field(default_factory=Faults)

    def note(self, violation: str) -> None:
        with self.lock:
            if len(self.violations) < MAX_VIOLATIONS:
                self.violations.append(violation)

    def record(self, call: Call) -> None:
        with self.lock:
            self.calls.append(call)
            if len(self.calls) > self.max_calls:
                del self.calls[: self.max_calls // 10 + 1]

    def calls_to(self, path_suffix: str) -> list[Call]:
        with self.lock:
            return [call for call in self.calls if call.path.endswith(path_suffix)]

    def take_fault(self, path: str, uid: str | None) -> Fault | None:
        with self.lock:
            return self.faults.take(path, uid)

    def fail(
        self,
        path_suffix: str,
        *,
        status: int | None = None,
        body: bytes | str | Json = b"",
        content_type: str = "application/json",
        times: int = 1,
        delay_s: float = 0.0,
        disconnect: bool = False,
        uid: str | None = None,
        late_s: float = 0.0,
    ) -> None:
        """Replace the next answers; without a status, only delay them.

        `delay_s` passes before the call is carried out, `late_s` between that and its answer.
        """
        reply = make_reply(status, body, content_type)
        with self.lock:
            self.faults.add(Fault(path_suffix, reply, times, delay_s, disconnect, uid, late_s))

    def clear(self) -> None:
        """Forget all calls, violations and faults."""
        with self.lock:
            self.resets += 1
            self.calls.clear()
            self.violations.clear()
            self.faults.clear()
