"""Several stages, one after another, as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lib.chat.events import ReplyEvent
from lib.chat.stages.interface import Stage


class Pipeline:
    """Feeds each stage with the events of the one before it."""

    def __init__(self, stages: Iterable[Stage]) -> None:
        self._stages = tuple(stages)

    @property
    def is_done(self) -> bool:
        return any(stage.is_done for stage in self._stages)

    @property
    def repair(self) -> str | None:
        return next((words for stage in self._stages if (words := stage.repair) is not None), None)

    def feed(self, events: Sequence[ReplyEvent]) -> list[ReplyEvent]:
        for stage in self._stages:
            events = stage.feed(events)
        return events if isinstance(events, list) else list(events)
