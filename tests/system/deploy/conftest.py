"""What the deployment tests of every host share: a copy of the project to build in, tools to build with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[3]
INSTALL_TIMEOUT_S = 570
"""scripts/support/install-builders ends by itself before."""

CopyProject = Callable[[], Path]
FindBuilder = Callable[[str], Path]


def unavailable(reason: str) -> NoReturn:
    """Skip, and say what is missing; where it must be there, that is a failure."""
    if os.environ.get("CI"):
        pytest.fail(f"CI must have it: {reason}")
    pytest.skip(f"NOT TESTED: {reason}")


@pytest.fixture(scope="session")
def copy_project(tmp_path_factory: pytest.TempPathFactory) -> CopyProject:
    """Give a function that copies what git has or would have; builders write into what they build."""
    git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    if listed.returncode:
        unavailable("not a git repository: cannot tell the project's files from others")
    files = [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    numbers = count(1)

    def copy() -> Path:
        to = tmp_path_factory.mktemp(f"project-{next(numbers)}")
        for name in files:
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
        return to

    return copy


@pytest.fixture(scope="session")
def find_builder() -> FindBuilder:
    """Give a function from the name of a builder to its folder, which is installed at its first use."""
    if not shutil.which("npm"):
        unavailable("node and npm are not installed; the hosts' builders need them")

    def find(name: str) -> Path:
        script = ["bash", str(ROOT / "scripts/support/install-builders"), name]
        done = subprocess.run(
            script, stdout=subprocess.PIPE, text=True, timeout=INSTALL_TIMEOUT_S, check=False
        )
        assert done.returncode == 0, "scripts/support/install-builders failed; its words are above"
        return Path(done.stdout.strip().partition("\t")[2])

    return find


@pytest.fixture(scope="session")
def python() -> Path:
    """Give an interpreter of the version in .python-version, by its real place: no shim, no environment."""
    version = (ROOT / ".python-version").read_text().strip()
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates = [
        sys.executable,
        *filter(None, [shutil.which(f"python{version}")]),
        *map(str, sorted(pyenv.glob(f"versions/{version}*/bin/python3"))),
        *map(str, sorted(Path("/usr/local/bin").glob(f"python{version}"))),
    ]
    tell = "import sys; print('%d.%d' % sys.version_info[:2], sys.base_prefix, sep='\\n')"
    for candidate in candidates:
        asked = subprocess.run(
            [candidate, "-I", "-c", tell], capture_output=True, text=True, timeout=30, check=False
        )
        found, _, prefix = asked.stdout.strip().partition("\n")
        real = Path(prefix) / "bin" / f"python{version}"
        if asked.returncode == 0 and found == version and real.is_file():
            return real
    unavailable(f"no Python {version} found (.python-version), asked: {', '.join(candidates)}")
