#!/usr/bin/env python3
"""Pack what AWS Lambda gets: .aws/buffered.zip under Mangum, .aws/streaming.zip behind the Web Adapter.

`scripts/deploy-aws` calls it, with an interpreter that has pip. Not serverless-python-requirements, because a
cold start should neither compile (Lambda's folder is read-only, and osls's zip resets the times that bytecode
is checked by) nor import click with httpx where only the streaming functions have a use for it.
"""

from __future__ import annotations

import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = (3, 13)
"""As in serverless.yml."""
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux2014_x86_64")
"""Lambda's Amazon Linux 2023 has glibc 2.34."""
PACKAGE = ("hosts/__init__.py", "hosts/aws/__init__.py")
PACKAGES = {
    "buffered": ("requirements.txt", (*PACKAGE, "hosts/routes.py", "hosts/aws/handlers.py", "api", "lib")),
    "streaming": (
        "requirements/aws.txt",
        (*PACKAGE, "hosts/aws/run.sh", "hosts/aws/stream_server.py", "api", "lib"),
    ),
}
MOST_BYTES = 250 * 1024 * 1024
"""Lambda's limit for a function unpacked."""
LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The same files give the same zip: what did not change is not uploaded."""


def main() -> int:
    target = ROOT / ".aws"
    target.mkdir(exist_ok=True)
    if sys.version_info[:2] != RUNTIME:
        wanted = ".".join(map(str, RUNTIME))
        print(
            f"note: no bytecode, because this is not Python {wanted}: cold starts compile, and take longer "
            f"(docs/deploy-aws.md). With python{wanted}: PYTHON=python{wanted} scripts/deploy-aws",
            file=sys.stderr,
        )
    for name, (requirements, sources) in PACKAGES.items():
        with tempfile.TemporaryDirectory() as folder:
            stage = Path(folder)
            install(ROOT / requirements, stage)
            copy(sources, stage)
            if sys.version_info[:2] == RUNTIME:
                compile_all(stage)
            size = pack(stage, target / f"{name}.zip")
        packed = (target / f"{name}.zip").stat().st_size
        print(f".aws/{name}.zip: {packed / 1e6:.1f} MB, {size / 1e6:.1f} MB unpacked", file=sys.stderr)
        if size > MOST_BYTES:
            sys.exit(f"error: {name} is {size} bytes unpacked; AWS Lambda takes {MOST_BYTES}.")
    return 0


def install(requirements: Path, stage: Path) -> None:
    """Let pip fetch the pinned wheels of the function's system, whatever this is, and check their hashes."""
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
        sys.exit(f"error: could not fetch {requirements.name}; pip's own words are above.")
    shutil.rmtree(stage / "bin", ignore_errors=True)  # commands for a terminal


def copy(sources: tuple[str, ...], stage: Path) -> None:
    for source in sources:
        for file in _sources(ROOT / source):
            place = stage / file.relative_to(ROOT)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, place)  # with its mode: run.sh is executed


def _sources(source: Path) -> list[Path]:
    """A file, or what a folder holds of code and of the documents beside it."""
    if source.is_file():
        return [source]
    return sorted(file for file in source.rglob("*") if file.suffix in (".py", ".json"))


def compile_all(stage: Path) -> None:
    """Compile, marked to be taken as it is: the sources get other times when the zip is unpacked."""
    for file in sorted(stage.rglob("*.py")):
        py_compile.compile(
            str(file),
            dfile=str(file.relative_to(stage)),
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )


def pack(stage: Path, archive: Path) -> int:
    """Write the zip; return the size of what is in it."""
    size = 0
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for file in _files(stage):
            entry = zipfile.ZipInfo(file.relative_to(stage).as_posix(), LONG_AGO)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix: what follows is a mode
            entry.external_attr = (0o100755 if os.access(file, os.X_OK) else 0o100644) << 16
            data = file.read_bytes()
            size += len(data)
            packed.writestr(entry, data)
    return size


def _files(folder: Path) -> Iterator[Path]:
    yield from (path for path in sorted(folder.rglob("*"), key=Path.as_posix) if path.is_file())


if __name__ == "__main__":
    sys.exit(main())
