"""Find a scene of the official API by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from simulator.agent.prompt import Reading
from simulator.official.chunks import Script
from simulator.steps import Json, Step

Ending = Literal["finish", "error", "cut", "http"]
"""How a scene ends: with a good finish, a bad one or an error, no ending at all, or as an HTTP error."""


@dataclass(slots=True)
class Ask:
    """The request that a scene answers."""

    body: Json
    reading: Reading
    script: Script
    args: Mapping[str, str] = field(default_factory=dict)
    thinks: bool = False
    reasonings: dict[str, str] = field(default_factory=dict)
    """The simulator's memory of the reasoning of each call."""

    @property
    def is_streamed(self) -> bool:
        return bool(self.body.get("stream"))

    def count(self, name: str, default: int) -> int:
        return int(self.args.get(name, default))

    def number(self, name: str, default: float) -> float:
        return float(self.args.get(name, default))


Play = Callable[[Ask], Iterator[Step]]


@dataclass(frozen=True, slots=True)
class SceneEntry:
    name: str
    play: Play
    about: str
    ending: Ending
    silent: bool


SCENES: dict[str, SceneEntry] = {}


def scene(ending: Ending = "finish", *, silent: bool = False) -> Callable[[Play], Play]:
    def register(play: Play) -> Play:
        SCENES[play.__name__] = SceneEntry(play.__name__, play, (play.__doc__ or "").strip(), ending, silent)
        return play

    return register
