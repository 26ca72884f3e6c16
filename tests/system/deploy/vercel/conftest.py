"""One build and one deployment for all tests of Vercel."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulator.server import SimulatorServer
from tests.system.deploy.conftest import ROOT, CopyProject, FindBuilder
from tests.system.deploy.vercel.build import Builder, Output
from tests.system.deploy.vercel.deployment import Deployment

UV_TIMEOUT_S = 300


@pytest.fixture(scope="session")
def builder(find_builder: FindBuilder, python: Path, tmp_path_factory: pytest.TempPathFactory) -> Builder:
    script = find_builder("vercel") / "node_modules/vercel/dist/vc.js"
    # The uv of scripts/lock; alone in a folder, or the Python of its environment would be found first.
    make = ". scripts/support/environment.sh && ensure_environment lock requirements/lock.txt"
    subprocess.run(["bash", "-euo", "pipefail", "-c", make], cwd=ROOT, timeout=UV_TIMEOUT_S, check=True)
    tools = tmp_path_factory.mktemp("tools")
    (tools / "uv").symlink_to(ROOT / ".venv/lock/bin/uv")
    return Builder(script, os.pathsep.join([str(python.parent), str(tools), os.environ["PATH"]]))


@pytest.fixture(scope="session")
def output(builder: Builder, copy_project: CopyProject) -> Output:
    """Give the build of the project as it is."""
    return builder.build(copy_project())


@pytest.fixture(scope="session")
def deployment(
    output: Output, python: Path, simulator_server: SimulatorServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """Give the built functions, running against the simulator; callers bring their own tokens."""
    environ = {"CHATGLM_BASE_URL": simulator_server.base_url, "no_proxy": "127.0.0.1"}
    with Deployment(output, python, tmp_path_factory.mktemp("var-task"), **environ) as running:
        yield running
