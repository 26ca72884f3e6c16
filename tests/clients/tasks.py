"""Tasks for agents over the simulator's model: a loop of a dozen calls, and a city as structured output."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from tests.clients.samples import CODE

_STEPS = [
    f"write_file {json.dumps({'path': 'a.py', 'content': CODE})}",
    "read_file path=a.py limit=5",
    'plan steps=[{"title":"one"},{"title":"two"}]',
    "find_text words=needle",
    "8 times read_file path=file$i.txt limit=$i",
    'answer "read: $2"',
]
LOOP = f"[scene:agent] [agent: {'; then '.join(_STEPS)}]"
"""Twelve calls, one in each answer, and then the answer."""
SAID = f"read: {CODE}"


class Step(BaseModel):
    title: str


class Desk:
    """The tools of an agent, over a small file system; every call is kept."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.called: list[tuple[Any, ...]] = []

    @property
    def tools(self) -> list[Callable[..., str]]:
        """Functions, not methods: some frameworks would take `self` for an argument."""

        def write_file(path: str, content: str) -> str:
            """Write a file."""
            self.called.append(("write_file", path, content))
            self.files[path] = content
            return "written"

        def read_file(path: str, limit: int) -> str:
            """Read a file, up to a limit of lines."""
            self.called.append(("read_file", path, limit))
            return self.files.get(path, "no such file")

        def plan(steps: list[Step]) -> str:
            """Replace the plan."""
            self.called.append(("plan", *(step.title for step in steps)))
            return "planned"

        def find_text(words: str) -> str:
            """Search the project's text."""
            self.called.append(("find_text", words))
            return "nothing found"

        return [write_file, read_file, plan, find_text]

    def check(self) -> None:
        """Hold that the loop made its twelve calls, with these very arguments."""
        assert self.files == {"a.py": CODE}
        assert self.called == [
            ("write_file", "a.py", CODE),
            ("read_file", "a.py", 5),
            ("plan", "one", "two"),
            ("find_text", "needle"),
            *(("read_file", f"file{number}.txt", number) for number in range(5, 13)),
        ]


class City(BaseModel):
    name: str
    people: int
    tags: list[str]


SUZHOU = City(name="苏州", people=13_000_000, tags=["canals", 'a "garden"'])


def describe(mistake: str = "", *, tool: str = "") -> str:
    """Ask for the city as the answer, or as the arguments of a tool."""
    scene = f"[scene:agent mistake={mistake}]" if mistake else "[scene:agent]"
    return f"{scene} Describe a city. [agent: {tool or 'answer'} {SUZHOU.model_dump_json()}]"
