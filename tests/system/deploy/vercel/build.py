"""Vercel's own builder at work in a copy of the project, and what comes out of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zlib
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

BUILD_TIMEOUT_S = 300


class BuildFailed(Exception):
    """The builder ended with an error; the message is its output."""


@dataclass(frozen=True)
class Builder:
    """The command line tool, and the folders that it finds Python and uv in."""

    script: Path
    path: str

    def build(self, project: Path, **environ: str) -> Output:
        """Build as Vercel's first deployment does, which detects the framework anew; raise BuildFailed."""
        settings = {"projectId": "prj_x", "orgId": "team_x", "settings": {"framework": "python"}}
        (project / ".vercel").mkdir(exist_ok=True)
        (project / ".vercel/project.json").write_text(json.dumps(settings))
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("VERCEL", "NOW_", "VIRTUAL_ENV"))
        }
        told = {
            "PATH": self.path,
            "CI": "1",
            "VERCEL_FIRST_DEPLOYMENT": "1",
            "VERCEL_TELEMETRY_DISABLED": "1",
        }
        # Nobody's login: an empty folder of its own.
        command = ["node", str(self.script), "build", "--global-config", str(project / ".vercel/global")]
        done = subprocess.run(
            command,
            cwd=project,
            env=inherited | told | environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BUILD_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            raise BuildFailed(done.stdout)
        return Output(project, done.stdout)


@dataclass(frozen=True)
class Output:
    """`.vercel/output`, as the Build Output API describes it."""

    project: Path
    log: str

    @property
    def folder(self) -> Path:
        return self.project / ".vercel/output"

    @cached_property
    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = json.loads((self.folder / "config.json").read_text())
        return config

    @cached_property
    def bundles(self) -> dict[str, Bundle]:
        """The functions by their paths: `api/v1/models`."""
        root = self.folder / "functions"
        found = sorted(root.rglob("*.func"))
        return {
            name: Bundle(self.project, name, folder)
            for folder in found
            for name in [folder.relative_to(root).as_posix().removesuffix(".func")]
        }

    @property
    def static(self) -> set[str]:
        root = self.folder / "static"
        return {file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file()}


@dataclass(frozen=True)
class Bundle:
    """One function: its settings, and the files that are uploaded for it."""

    project: Path
    name: str
    folder: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = json.loads((self.folder / ".vc-config.json").read_text())
        return config

    @cached_property
    def files(self) -> dict[str, Path]:
        """What lies where in the function's folder."""
        mapped = {name: self.project / place for name, place in self.config["filePathMap"].items()}
        own = {file.name: file for file in self.folder.iterdir() if file.name != ".vc-config.json"}
        return mapped | own

    @property
    def size(self) -> int:
        return sum(file.stat().st_size for file in self.files.values())

    @property
    def packed_size(self) -> int:
        return sum(map(_packed_size, self.files.values()))

    def unpack(self, to: Path) -> Path:
        """Lay the files out as the host does."""
        for name, file in self.files.items():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, to / name)
        return to


@cache  # the bundles of one build share nearly all files
def _packed_size(file: Path) -> int:
    return len(zlib.compress(file.read_bytes()))
