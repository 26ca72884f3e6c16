"""Answers that a test puts in the place of an endpoint's own."""

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
    """Before anything is done."""
    disconnect: bool
    uid: str | None
    late_s: float = 0.0
    """Between what was done and the answer that tells it."""


class Faults:
    """The faults in waiting, in the order they were set."""

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
