"""The routes of a built `config.json`, followed as Vercel does (Build Output API, version 3)."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Destination:
    """Where a request ends: a function, a file, or (both empty) the proxy's own answer."""

    function: str = ""
    file: str = ""
    status: int = 200
    query: str = ""
    """What the route adds to the request's own query; the path that the function sees is the request's."""
    headers: dict[str, str] = field(default_factory=dict)


class Router:
    def __init__(self, config: dict[str, Any], functions: Collection[str], files: Collection[str]) -> None:
        assert config["version"] == 3
        self._functions = functions
        self._files = files
        self._phases: dict[str, list[dict[str, Any]]] = {"": []}
        phase = ""
        for route in config["routes"]:
            phase = route.get("handle", phase)
            if "handle" in route:
                self._phases[phase] = []
            else:
                _refuse_unknown(route)
                self._phases[phase].append(route)

    def find(self, path: str) -> Destination:
        headers: dict[str, str] = {}
        for route in self._phases[""]:
            assert route.get("continue"), f"not followed here: {route}"
            if re.search(route["src"], path):
                headers |= {name.lower(): value for name, value in route["headers"].items()}
        found = self._look_up(path) or self._follow(self._phases["filesystem"], path)
        return Destination(found.function, found.file, found.status, found.query, headers)

    def _follow(self, routes: list[dict[str, Any]], path: str) -> Destination:
        for route in routes:
            match = re.search(route["src"], path)
            if not match:
                continue
            if "dest" not in route:
                return Destination(status=route["status"])
            assert route["check"], f"not followed here: {route}"
            path, _, query = _fill(route["dest"], match).partition("?")
            found = self._look_up(path) or self._miss(path)
            if found:
                return Destination(found.function, found.file, query=query)
            # Nothing is there: the routes that follow see the new path.
        return Destination(status=404)

    def _miss(self, path: str) -> Destination | None:
        for route in self._phases.get("miss", ()):
            if match := re.search(route["src"], path):
                return self._look_up(_fill(route["dest"], match))
        return None

    def _look_up(self, path: str) -> Destination | None:
        name = path.strip("/")
        for candidate in (name, f"{name}/index".lstrip("/")):
            if candidate in self._functions:
                return Destination(function=candidate)
            if candidate in self._files or f"{candidate}.html" in self._files:
                return Destination(file=candidate)
        return None


def _fill(destination: str, match: re.Match[str]) -> str:
    return re.sub(r"\$(\d)", lambda found: match[int(found[1])] or "", destination)


def _refuse_unknown(route: dict[str, Any]) -> None:
    known = {"src", "dest", "status", "check", "continue", "headers"}
    assert set(route) <= known, f"this router does not know {set(route) - known}: {route}"
