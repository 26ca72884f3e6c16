"""Answers that a test sets in place of an endpoint's own."""

from __future__ import annotations

from dataclasses import dataclass

from .steps import Json, Reply


@dataclass(slots=True)
class Fault:
    path_suffix: str
    reply: Reply | None
    """None: the endpoint's own answer, after the delay."""
    times: int
    delay_s: float
    """The time before the call is carried out."""
    disconnect: bool
    uid: str | None
    late_s: float = 0.0
    """The time between the call's effect and its answer."""


class Faults:
    """The faults that wait, in the order of their setting."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        self._waiting.append(fault)

    def clear(self) -> None:
        self._waiting.clear()

    def take(self, path: str, uid: str | None) -> Fault | None:
        for fault in self._waiting:
            if path.endswith(fault.path_suffix) and fault.uid in (None, uid):
                fault.times -= 1
                if fault.times <= 0:
                    self._waiting.remove(fault)
                return fault
        return None


def make_reply(status: int | None, body: bytes | str | Json, content_type: str) -> Reply | None:
    return None if status is None else Reply(status, body, content_type)
