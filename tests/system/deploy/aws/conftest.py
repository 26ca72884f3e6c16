"""One package for all tests of AWS Lambda, made as a deployer makes it, and what its functions run in."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from simulator.server import SimulatorServer
from tests.conftest import Upstream
from tests.system.deploy.aws.adapter import Adapter
from tests.system.deploy.aws.counting import Relay
from tests.system.deploy.aws.emulator import Emulator
from tests.system.deploy.aws.template import REGION, Template
from tests.system.deploy.conftest import ROOT, CopyProject, FindBuilder, unavailable
from tests.unit.store.dynalite import CREDENTIALS, Dynalite, running_dynalite

PACKAGE_TIMEOUT_S = 300
INSTALL_TIMEOUT_S = 570


def copy_service(project: Path, folder: Path) -> None:
    """Put into a folder what osls reads of a project that is built."""
    for name in ("serverless.yml", "hosts/aws/routes.yml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(project / name, folder / name)
    shutil.copytree(project / ".aws", folder / ".aws")


def without_aws() -> dict[str, str]:
    """This machine's environment, in which nobody is logged in at AWS."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CHATGLM_"))}
    for name in ("API_KEYS", "RESERVED_CONCURRENCY", "LOG_LEVEL", "ALLOW_PASSTHROUGH"):
        kept.pop(name, None)
    return kept | {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@dataclass(frozen=True)
class Package:
    project: Path
    template: Template
    folders: dict[str, Path]
    """The unpacked zips, by name."""

    def folder_of(self, function: str) -> Path:
        """Return the files that Lambda gives this function."""
        return self.folders[Path(self.template.function(function)["Code"]["S3Key"]).stem]


@pytest.fixture(scope="session")
def tools() -> Path:
    done = subprocess.run(
        ["bash", ROOT / "scripts/support/install-aws-tools"],
        stdout=subprocess.PIPE,
        text=True,
        timeout=INSTALL_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        unavailable("scripts/support/install-aws-tools failed; its words are above")
    return Path(done.stdout.strip())


@pytest.fixture(scope="session")
def builder(find_builder: FindBuilder) -> Path:
    return find_builder("aws") / "node_modules"


def unpack(archive: Path, folder: Path) -> Path:
    """As Lambda does: with the modes, and with the times of the archive."""
    with zipfile.ZipFile(archive) as packed:
        for entry in packed.infolist():
            place = Path(packed.extract(entry, folder))
            place.chmod(entry.external_attr >> 16 & 0o777)
    return folder


@pytest.fixture(scope="session")
def package(
    builder: Path, python: Path, copy_project: CopyProject, tmp_path_factory: pytest.TempPathFactory
) -> Package:
    project = copy_project()
    (ROOT / ".venv").mkdir(exist_ok=True)
    (project / ".venv").symlink_to(ROOT / ".venv")  # the environment that fetches is not made for each test
    done = subprocess.run(
        ["bash", "scripts/deploy-aws", "package", "--region", REGION],
        cwd=project,
        env=without_aws() | {"PYTHON": str(python)},
        capture_output=True,
        text=True,
        timeout=PACKAGE_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    names = ("buffered", "streaming", "videos")
    folders = {
        name: unpack(project / f".aws/{name}.zip", tmp_path_factory.mktemp(f"var-task-{name}"))
        for name in names
    }
    template = Template(project / ".serverless/cloudformation-template-update-stack.json")
    return Package(project, template, folders)


@pytest.fixture(scope="session")
def dynalite(builder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dynalite]:
    with running_dynalite(builder / "dynalite/cli.js", tmp_path_factory.mktemp("dynalite")) as running:
        yield running


@dataclass(frozen=True)
class World:
    """What a function reaches: the upstream and the table, each through a relay that counts."""

    package: Package
    tools: Path
    dynalite: Dynalite
    upstream_relay: Relay
    table_relay: Relay
    table: str

    def environ(self, function: str, **more: str) -> dict[str, str]:
        """The function's environment in this world; AWS adds the credentials of its role."""
        return {
            **self.package.template.environ(function, table=self.table),
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": CREDENTIALS.key_id,
            "AWS_SECRET_ACCESS_KEY": CREDENTIALS.secret,
            "AWS_SESSION_TOKEN": CREDENTIALS.session_token,
            "AWS_ENDPOINT_URL_DYNAMODB": self.table_relay.url,
            "CHATGLM_BASE_URL": self.upstream_relay.url,
            "no_proxy": "127.0.0.1",
            **more,
        }

    def emulator(self, function: str, *, handler: str = "", timeout_s: int = 29, **more: str) -> Emulator:
        handler = handler or self.package.template.function(function)["Handler"]
        return Emulator(
            self.tools,
            self.package.folder_of(function),
            handler,
            self.environ(function, **more),
            timeout_s=timeout_s,
        )

    def adapter(self, function: str, *, timeout_s: float = 900, **more: str) -> Adapter:
        handler = self.package.template.function(function)["Handler"]
        return Adapter(
            self.tools,
            self.package.folder_of(function),
            handler,
            self.environ(function, **more),
            timeout_s=timeout_s,
        )

    def items(self) -> int:
        """How many entries the table holds, leases among them."""
        return len(self.dynalite.call("Scan", {"TableName": self.table})["Items"])


@pytest.fixture
def world(
    package: Package, tools: Path, dynalite: Dynalite, upstream: Upstream, simulator_server: SimulatorServer
) -> Iterator[World]:
    with Relay(simulator_server.base_url) as upstream_relay, Relay(dynalite.endpoint) as table_relay:
        table = dynalite.table().table
        yield World(package, tools, dynalite, upstream_relay, table_relay, table)
