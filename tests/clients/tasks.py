"""The tools of an agent as Python functions, and the city as a model of pydantic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from tests.clients.samples import CALLED, CITY


class Step(BaseModel):
    title: str


class City(BaseModel):
    name: str
    people: int
    tags: list[str]


SUZHOU = City.model_validate(CITY)


class Desk:
    """The tools of an agent, over a small file system; every call is kept."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.called: list[tuple[str, dict[str, Any]]] = []

    @property
    def tools(self) -> list[Callable[..., str]]:
        """Functions, not methods: some frameworks would take `self` for an argument."""

        def write_file(path: str, content: str) -> str:
            """Write a file."""
            self.called.append(("write_file", {"path": path, "content": content}))
            self.files[path] = content
            return "written"

        def read_file(path: str, limit: int) -> str:
            """Read a file, up to a limit of lines."""
            self.called.append(("read_file", {"path": path, "limit": limit}))
            return self.files.get(path, "no such file")

        def plan(steps: list[Step]) -> str:
            """Replace the plan."""
            self.called.append(("plan", {"steps": [{"title": step.title} for step in steps]}))
            return "planned"

        def find_text(words: str) -> str:
            """Search the project's text."""
            self.called.append(("find_text", {"words": words}))
            return "nothing found"

        return [write_file, read_file, plan, find_text]

    def check(self) -> None:
        """Hold that the loop made its twelve calls, with these very arguments."""
        assert self.called == CALLED
