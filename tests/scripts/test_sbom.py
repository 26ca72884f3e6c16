"""The bills of materials say what is pinned; tests/system/conformance asks the standard."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from scripts.support import write_sbom
from tests.scripts.test_requirements import pins

ROOT = Path(__file__).resolve().parents[2]


TARGETS = pytest.mark.parametrize("target", write_sbom.TARGETS)


def bill(target: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(write_sbom.bill(target, requirements(target), "v1"))
    return told


def requirements(target: str) -> str:
    return (ROOT / write_sbom.TARGETS[target]).read_text()


@TARGETS
def test_every_deployed_package_is_listed_with_its_hashes(target: str) -> None:
    components = bill(target)["components"]
    listed = {component["name"]: component["version"] for component in components}
    elsewhere = {"colorama", "async-timeout"}  # for Windows; for a Python before 3.11.3
    assert listed == {
        name: version for name, version in pins(write_sbom.TARGETS[target]).items() if name not in elsewhere
    }
    for component in components:
        assert component["type"] == "library"
        assert component["purl"] == f"pkg:pypi/{component['name']}@{component['version']}"
        pinned = requirements(target).partition(f"\n{component['name']}==")[2].partition("# via")[0]
        assert [entry["content"] for entry in component["hashes"]] == re.findall(r"sha256:(\w{64})", pinned)
        assert {entry["alg"] for entry in component["hashes"]} == {"SHA-256"}


@TARGETS
def test_every_package_names_its_licence(target: str) -> None:
    for component in bill(target)["components"]:
        (licence,) = component["licenses"][:1]
        assert licence.get("expression") or licence["license"]["name"], component["name"]


@TARGETS
def test_everything_hangs_together(target: str) -> None:
    told = bill(target)
    asked = {entry["ref"]: entry["dependsOn"] for entry in told["dependencies"]}
    root = told["metadata"]["component"]["bom-ref"]
    assert asked.keys() == {root, *(component["bom-ref"] for component in told["components"])}
    reached, waiting = set(), [root]
    while waiting:
        reference = waiting.pop()
        reached.add(reference)
        waiting += set(asked[reference]) - reached
    assert reached == asked.keys(), "what nobody asks for is not installed"


def test_who_asks_for_what_is_read_from_the_pins() -> None:
    asked = {entry["ref"]: entry["dependsOn"] for entry in bill("vercel")["dependencies"]}
    version = pins("requirements.txt")
    assert asked[f"pkg:pypi/httpcore@{version['httpcore']}"] == sorted(
        f"pkg:pypi/{name}@{version[name]}" for name in ("certifi", "h11")
    )
    ours = re.findall(r"^([a-z][a-z0-9-]*)", (ROOT / "requirements/deployed.in").read_text(), re.MULTILINE)
    assert asked["glm-gateway-vercel"] == sorted(f"pkg:pypi/{name}@{version[name]}" for name in ours)


@TARGETS
def test_the_same_requirements_give_the_same_bytes(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    texts = {write_sbom.bill(target, requirements(target), "v1") for _ in range(2)}
    assert len(texts) == 1
    assert "timestamp" not in texts.pop()
    assert write_sbom.bill(target, requirements(target), "v2") != write_sbom.bill(
        target, requirements(target), "v1"
    )


def test_the_time_is_the_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1790000000")
    assert bill("box")["metadata"]["timestamp"] == "2026-09-21T14:13:20Z"


def test_numbers_differ_between_targets_and_are_urns() -> None:
    numbers = {bill(target)["serialNumber"] for target in write_sbom.TARGETS}
    assert len(numbers) == len(write_sbom.TARGETS)
    for number in numbers:
        assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", number)


def test_a_file_is_written_for_each_target(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sbom.main(str(tmp_path / "new"), "v1")
    files = sorted((tmp_path / "new").iterdir())
    assert [file.name for file in files] == [
        "glm-gateway-box.cdx.json",
        "glm-gateway-lambda.cdx.json",
        "glm-gateway-vercel.cdx.json",
    ]
    assert sorted(capsys.readouterr().out.split()) == list(map(str, files))
    assert json.loads(files[0].read_text()) == bill("box")


def test_a_package_that_is_not_installed_has_no_licence() -> None:
    unknown = (
        f"none-such-package==1 \\\n    --hash=sha256:{'0' * 64}\n    # via -r requirements/deployed.in\n"
    )
    (component,) = json.loads(write_sbom.bill("box", unknown, "v1"))["components"]
    assert "licenses" not in component
