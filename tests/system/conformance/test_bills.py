"""The bills of materials, as a release has them. cyclonedx-py itself holds each to its schema."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.scripts.test_requirements import pins

ROOT = Path(__file__).resolve().parents[3]
TIMEOUT_S = 300
TARGETS = {
    "vercel": ("requirements.txt", ("deployed",)),
    "aws": ("requirements/aws.txt", ("deployed", "aws")),
    "box": ("requirements/box.txt", ("deployed", "box")),
}
ELSEWHERE = {"colorama"}
"""For Windows."""
targets = pytest.mark.parametrize("target", TARGETS)

Bills = dict[str, dict[str, Any]]


def write(folder: Path) -> list[str]:
    """Run scripts/sbom; return the files that it names."""
    done = subprocess.run(
        ["bash", ROOT / "scripts/sbom", folder, "v1.2.3"],
        env={**os.environ, "SOURCE_DATE_EPOCH": "1790000000"},
        stdout=subprocess.PIPE,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    return done.stdout.split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bills") / "new"
    files = [str(folder / f"glm-gateway-{target}.cdx.json") for target in TARGETS]
    assert write(folder) == files
    return folder


@pytest.fixture(scope="module")
def bills(folder: Path) -> Bills:
    files = {target: folder / f"glm-gateway-{target}.cdx.json" for target in TARGETS}
    return {target: json.loads(file.read_text()) for target, file in files.items()}


def named(name: str) -> str:
    """Write a name as the pins do."""
    return re.sub(r"[-_.]+", "-", name).lower()


@targets
def test_every_deployed_package_is_listed(bills: Bills, target: str) -> None:
    listed = {named(found["name"]): found["version"] for found in bills[target]["components"]}
    pinned = pins(TARGETS[target][0])
    assert listed == {name: version for name, version in pinned.items() if name not in ELSEWHERE}
    for component in bills[target]["components"]:
        assert component["type"] == "library"
        assert named(component["purl"]) == named(f"pkg:pypi/{component['name']}@{component['version']}")


@targets
def test_every_package_names_its_licence(bills: Bills, target: str) -> None:
    assert [found["name"] for found in bills[target]["components"] if not found.get("licenses")] == []


@targets
def test_everything_hangs_together(bills: Bills, target: str) -> None:
    bill = bills[target]
    asked = {entry["ref"]: entry.get("dependsOn", []) for entry in bill["dependencies"]}
    root = bill["metadata"]["component"]["bom-ref"]
    reached: set[str] = set()
    waiting = [root]
    while waiting:
        reference = waiting.pop()
        reached.add(reference)
        waiting += set(asked[reference]) - reached
    assert reached == asked.keys(), "a package that nothing asks for is installed"


@targets
def test_the_whole_asks_for_what_we_ask_for(bills: Bills, target: str) -> None:
    bill = bills[target]
    [asked] = [
        entry["dependsOn"]
        for entry in bill["dependencies"]
        if entry["ref"] == bill["metadata"]["component"]["bom-ref"]
    ]
    sources = "".join((ROOT / f"requirements/{name}.in").read_text() for name in TARGETS[target][1])
    ours = set(re.findall(r"^([a-z][a-z0-9-]*)", sources, re.MULTILINE))
    assert {named(reference.partition("==")[0]) for reference in asked} == ours


@targets
def test_a_bill_says_what_it_is_of_and_when(bills: Bills, target: str) -> None:
    metadata = bills[target]["metadata"]
    assert bills[target]["specVersion"] == "1.6"
    assert metadata["timestamp"] == "2026-09-21T14:13:20+00:00"
    about = metadata["component"]
    assert (about["name"], about["version"]) == ("glm-gateway", "v1.2.3")
    assert about["description"] == f"as deployed to {target}"


def test_the_same_pins_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write(tmp_path)
    for file in folder.iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes()
