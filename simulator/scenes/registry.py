"""Find a scene by its name, or by the tag `[scene:NAME key=value]` in a prompt."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from simulator.steps import Scene

Ending = Literal["finish", "error", "intervene", "cut", "http"]
"""How a scene ends: with that terminal event, without one, or as an HTTP answer that is no stream."""

_TAG = re.compile(r"\[scene:([A-Za-z0-9_]+)((?:\s+[a-z_]+=[^\s\]]+)*)\s*\]")


@dataclass(frozen=True, slots=True)
class SceneEntry:
    name: str
    play: Scene
    about: str
    ending: Ending
    silent: bool
    """True if the client would wait longer than a test can."""
    sticky: bool = False
    """True if the scene plays the later turns of its conversation too."""


SCENES: dict[str, SceneEntry] = {}


def scene(
    ending: Ending = "finish", *, name: str = "", silent: bool = False, sticky: bool = False
) -> Callable[[Scene], Scene]:
    def register(play: Scene) -> Scene:
        own_name = name or play.__name__
        SCENES[own_name] = SceneEntry(own_name, play, (play.__doc__ or "").strip(), ending, silent, sticky)
        return play

    return register


def read_tag(text: str) -> tuple[str, dict[str, str]] | None:
    """Return name and arguments of the last tag: a flattened history holds those of older turns too."""
    tags = _TAG.findall(text)
    if not tags:
        return None
    name, raw_args = tags[-1]
    return name, dict(argument.split("=", 1) for argument in raw_args.split())


def strip_tags(text: str) -> str:
    return _TAG.sub("", text)
