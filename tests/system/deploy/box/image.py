"""The Dockerfile without Docker: its steps in a root of their own (chroot, mounts), its process as told."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

from tests.system.deploy.conftest import ROOT

SYSTEM = ("usr", "bin", "sbin", "lib", "lib64", "etc")
"""What python:3.13-slim has of Debian, and this machine too; mounted read-only."""


class Dockerfile:
    """The few instructions that ours has, and no others."""

    def __init__(self, text: str) -> None:
        self.copies: list[tuple[list[str], str]] = []
        self.run: list[str] = []
        self.environ: dict[str, str] = {}
        self.user = self.folder = ""
        self.entrypoint: list[str] = []
        self.health_check: list[str] = []
        lines = re.sub(r"(?m)^#.*\n", "", text).replace("\\\n", " ").splitlines()
        for line in filter(str.strip, lines):
            instruction, _, rest = line.partition(" ")
            match instruction:
                case "WORKDIR":
                    self.folder = rest
                case "COPY":
                    *sources, to = rest.split()
                    self.copies.append((sources, to))
                case "RUN":
                    self.run.append(rest)
                case "ENV":
                    self.environ |= dict(pair.split("=", 1) for pair in shlex.split(rest))
                case "USER":
                    self.user = rest
                case "ENTRYPOINT":
                    self.entrypoint = json.loads(rest)
                case "HEALTHCHECK":
                    self.health_check = json.loads(rest.partition("CMD ")[2])
                case "ARG" | "FROM" | "VOLUME" | "EXPOSE":
                    pass
                case _:
                    raise ValueError(f"this reader does not know {line!r}")


class Image:
    """A folder that is the image's root; steps and processes run in it, in a mount namespace of their own."""

    def __init__(self, root: Path, dockerfile: Dockerfile, python: Path) -> None:
        self.root = root
        self.dockerfile = dockerfile
        self._python = python

    def build(self, context: Path, environ: dict[str, str], *, timeout_s: float) -> None:
        root, folder = self.root, self.dockerfile.folder
        for name in (*SYSTEM, "dev", "proc", "tmp", "root", folder, str(self._python)):
            (root / name.lstrip("/")).mkdir(parents=True, exist_ok=True)
        root.chmod(0o755)
        for sources, to in self.dockerfile.copies:
            for source in sources:
                self._copy(context, source, root / folder.lstrip("/") / to)
        for command in self.dockerfile.run:
            build = self._command(["/bin/sh", "-c", command], environ, user="0:0", is_read_only=False)
            done = subprocess.run(build, capture_output=True, text=True, timeout=timeout_s, check=False)
            assert done.returncode == 0, f"{command} failed:\n{done.stdout}{done.stderr}"

    def command(self, arguments: list[str], environ: dict[str, str], data: Path) -> list[str]:
        """Return the command that starts a process as `docker run --read-only --cap-drop ALL` does."""
        merged = self.dockerfile.environ | environ
        return self._command(arguments, merged, user=self.dockerfile.user, is_read_only=True, data=data)

    def _copy(self, context: Path, source: str, to: Path) -> None:
        assert is_sent(source), f".dockerignore keeps {source} out of the build"
        at = context / source
        if at.is_dir():  # its content, as COPY does
            shutil.copytree(at, to, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
            return
        to.mkdir(parents=True, exist_ok=True)
        shutil.copy2(at, to / at.name)

    def _command(
        self,
        arguments: list[str],
        environ: dict[str, str],
        *,
        user: str,
        is_read_only: bool,
        data: Path | None = None,
    ) -> list[str]:
        root = shlex.quote(str(self.root))
        mounts = ["set -e", f"mount --bind {root} {root}"]
        for name in SYSTEM:
            if Path("/", name).exists():
                mounts += [f"mount --bind /{name} {root}/{name}", f"mount -o remount,bind,ro {root}/{name}"]
        python = shlex.quote(f"{self.root}{self._python}")
        mounts += [f"mount --bind {self._python} {python}", f"mount -o remount,bind,ro {python}"]
        mounts += [f"mount --rbind /dev {root}/dev", f"mount -t proc proc {root}/proc"]
        if data is not None:
            mounts += [f"mount --bind {shlex.quote(str(data))} {root}/data"]
        if is_read_only:
            mounts += [f"mount -o remount,bind,ro {root}"]
        owner, _, group = user.partition(":")
        rights = ["setpriv", f"--reuid={owner}", f"--regid={group}", "--clear-groups"]
        if user != "0:0":
            rights += ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
        path = f"PATH={self._python}/bin:/usr/bin:/bin"
        inner = [*rights, "env", "-i", path, *(f"{k}={v}" for k, v in environ.items())]
        inner += ["sh", "-c", f'cd {self.dockerfile.folder} && exec "$@"', "sh", *arguments]
        mounts += [f"exec chroot {root} {shlex.join(inner)}"]
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", "\n".join(mounts)]


def is_sent(path: str) -> bool:
    """Whether .dockerignore lets a path into the build: the last line that matches decides."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    sent = True
    for line in lines:
        pattern = line.removeprefix("!").removeprefix("**/")
        if line and not line.startswith("#") and (_matches(path, pattern)):
            sent = line.startswith("!")
    return sent


def _matches(path: str, pattern: str) -> bool:
    parts = path.split("/")
    starts = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    return any(fnmatch.fnmatch(start, pattern) for start in [*starts, parts[-1]])
