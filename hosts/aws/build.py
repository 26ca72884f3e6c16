#!/usr/bin/env python3
"""Pack the zips for AWS Lambda in .aws/: buffered.zip (Mangum), streaming.zip and videos.zip (Web Adapter).

`scripts/deploy-aws` calls it with an interpreter that has pip. The plugin serverless-python-requirements
would make cold starts slower. Python would compile at every cold start, because Lambda's folder is read-only
and osls's zip resets the times that bytecode is checked by. And every function would import click with httpx,
although only the streaming functions use it.
"""

from __future__ import annotations

import importlib.metadata
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = (3, 13)
"""serverless.yml names the same version."""
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux2014_x86_64")
"""Lambda's Amazon Linux 2023 has glibc 2.34."""


class Package(NamedTuple):
    """One zip: the requirements, without the packages that its functions never import, and our own files."""

    requirements: str
    without: tuple[str, ...]
    sources: tuple[str, ...]


ALL = ("hosts/__init__.py", "hosts/aws/__init__.py", "api", "lib")
SERVER = ("hosts/aws/run.sh", "hosts/aws/stream_server.py")
PACKAGES = {
    "buffered": Package("requirements.txt", ("pillow",), (*ALL, "hosts/routes.py", "hosts/aws/handlers.py")),
    "streaming": Package("requirements/aws.txt", ("pillow", "mangum"), (*ALL, *SERVER)),
    # Pillow fits a video's first frame: 7 MB that no other function downloads at its cold start.
    "videos": Package("requirements/aws.txt", ("mangum",), (*ALL, *SERVER)),
}
SUFFIXES = (".py", ".json", ".html", ".css", ".js", ".svg")
"""The packages hold the files with these endings, and no others."""
MAX_BYTES = 250 * 1024 * 1024
"""Lambda's limit for an unpacked function."""
LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""All files have this time, so the same files give the same zip, and an unchanged zip is not uploaded."""


def main() -> int:
    target = ROOT / ".aws"
    target.mkdir(exist_ok=True)
    if sys.version_info[:2] != RUNTIME:
        wanted = ".".join(map(str, RUNTIME))
        print(
            f"note: this is not Python {wanted}, so the zips have no bytecode and cold starts take longer "
            f"(docs/deploy-aws.md). If you have python{wanted}: PYTHON=python{wanted} scripts/deploy-aws",
            file=sys.stderr,
        )
    for name, package in PACKAGES.items():
        with tempfile.TemporaryDirectory() as folder:
            stage = Path(folder)
            install(ROOT / package.requirements, stage)
            for unused in package.without:
                uninstall(unused, stage)
            copy(package.sources, stage)
            if sys.version_info[:2] == RUNTIME:
                compile_all(stage)
            size = pack(stage, target / f"{name}.zip")
        packed = (target / f"{name}.zip").stat().st_size
        print(f".aws/{name}.zip: {packed / 1e6:.1f} MB, {size / 1e6:.1f} MB unpacked", file=sys.stderr)
        if size > MAX_BYTES:
            sys.exit(f"error: {name} has {size} bytes unpacked; AWS Lambda takes at most {MAX_BYTES}.")
    return 0


def install(requirements: Path, stage: Path) -> None:
    """Let pip fetch the pinned wheels for Lambda's system, also on another one, and check their hashes."""
    platforms = (f"--platform={platform}" for platform in PLATFORMS)
    version = ".".join(map(str, RUNTIME))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--require-hashes", "--no-deps", "--only-binary=:all:", "--no-compile", f"--target={stage}"),
            *platforms,
            *("--implementation=cp", f"--python-version={version}", f"--requirement={requirements}"),
        ],
        env={**os.environ, "PIP_USER": "0"},
        check=False,
    )
    if done.returncode:
        sys.exit(f"error: pip could not fetch {requirements.name}; its own message is above.")
    shutil.rmtree(stage / "bin", ignore_errors=True)  # It holds only commands for a terminal.


def uninstall(name: str, stage: Path) -> None:
    """Remove the files of one package, as its own list names them."""
    (found,) = importlib.metadata.distributions(name=name, path=[str(stage)])
    for file in found.files or ():
        (stage / file).unlink(missing_ok=True)


def copy(sources: tuple[str, ...], stage: Path) -> None:
    for source in sources:
        for file in _sources(ROOT / source):
            place = stage / file.relative_to(ROOT)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, place)  # This keeps the mode: Lambda executes run.sh.


def _sources(source: Path) -> list[Path]:
    """Return the file itself, or a folder's code, JSON documents and files of the page."""
    if source.is_file():
        return [source]
    return sorted(file for file in source.rglob("*") if file.suffix in SUFFIXES)


def compile_all(stage: Path) -> None:
    """Compile all files. Python must not check the bytecode: unpacking gives the sources other times."""
    for file in sorted(stage.rglob("*.py")):
        py_compile.compile(
            str(file),
            dfile=str(file.relative_to(stage)),
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )


def pack(stage: Path, archive: Path) -> int:
    """Write the zip and return its unpacked size."""
    size = 0
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for file in _files(stage):
            entry = zipfile.ZipInfo(file.relative_to(stage).as_posix(), LONG_AGO)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix: `external_attr` is a mode.
            entry.external_attr = (0o100755 if os.access(file, os.X_OK) else 0o100644) << 16
            data = file.read_bytes()
            size += len(data)
            packed.writestr(entry, data)
    return size


def _files(folder: Path) -> Iterator[Path]:
    yield from (path for path in sorted(folder.rglob("*"), key=Path.as_posix) if path.is_file())


if __name__ == "__main__":
    sys.exit(main())
