"""What the tests of a box share: tools, and the image that the Dockerfile describes, as a root of its own.

The tests of the image (test_image.py) need Linux and root, because a root of its own takes chroot and mounts;
without them they are skipped, and fail in CI.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.system.deploy.box.image import Dockerfile, Image
from tests.system.deploy.conftest import ROOT, CopyProject, unavailable

INSTALL_TIMEOUT_S = 570
BUILD_TIMEOUT_S = 300


@pytest.fixture(scope="session")
def tools() -> Path:
    """Give the folder of scripts/support/install-box-tools."""
    if not shutil.which("apt-get"):
        unavailable("there is no apt-get: nginx is tested as Debian packages it")
    done = subprocess.run(
        ["bash", str(ROOT / "scripts/support/install-box-tools")],
        stdout=subprocess.PIPE,
        text=True,
        timeout=INSTALL_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, "scripts/support/install-box-tools failed; its words are above"
    return Path(done.stdout.strip())


@pytest.fixture(scope="session")
def dockerfile() -> Dockerfile:
    return Dockerfile((ROOT / "Dockerfile").read_text())


@pytest.fixture(scope="session")
def fetching_python(python: Path) -> str:
    """Give an environment of the image's Python, for its pip alone."""
    make = ". scripts/support/environment.sh; ensure_environment lock requirements/lock.txt"
    make += '; echo "$ENVIRONMENT_PYTHON"'
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", make],
        cwd=ROOT,
        env={**os.environ, "PYTHON": str(python)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=True,
    )
    return str(ROOT / done.stdout.strip())


@pytest.fixture(scope="session")
def image(
    dockerfile: Dockerfile,
    copy_project: CopyProject,
    python: Path,
    fetching_python: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Image:
    """Give the image, built: the Dockerfile's steps in a root that has Python and nothing of ours."""
    may = shutil.which("unshare") and os.geteuid() == 0
    if not may or subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        unavailable("no root of its own can be made: that takes Linux, root, and mounts (CAP_SYS_ADMIN)")
    root = tmp_path_factory.mktemp("image")
    wheels = root / "wheels"
    # Downloaded outside, by whatever pip is configured to use; the image's own pip checks the hashes.
    download = [fetching_python, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    download += ["--only-binary", ":all:", "--dest", str(wheels), "--requirement", "requirements/box.txt"]
    subprocess.run(download, cwd=ROOT, check=True, timeout=BUILD_TIMEOUT_S)
    # python:3.13-slim has a pip; this machine's Python may have none.
    tell = "import pathlib, pip; print(pathlib.Path(pip.__file__).parent)"
    pip = subprocess.check_output([fetching_python, "-I", "-c", tell], cwd=ROOT, text=True).strip()
    shutil.copytree(ROOT / pip, root / "pip/pip", ignore=shutil.ignore_patterns("__pycache__"))
    environ = {"PYTHONPATH": "/pip", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels"}
    image = Image(root, dockerfile, python.parent.parent)
    image.build(copy_project(), environ, timeout_s=BUILD_TIMEOUT_S)
    return image
