#!/usr/bin/env python3
"""Write what is deployed as bills of materials: CycloneDX 1.6, one file for each target. See scripts/sbom.

Made of the hashed requirement files alone, and of the licences that the installed packages name: the same
files give the same bytes. SOURCE_DATE_EPOCH, where it is set, is the time that they say.
"""

from __future__ import annotations

import json
import os
import re
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.markers import Marker

ROOT = Path(__file__).resolve().parents[2]
TARGETS = {
    "vercel": "requirements.txt",
    "lambda": "requirements/aws.txt",
    "box": "requirements/box.txt",
}
"""The Docker image is a box. The buffered functions on Lambda hold what is on Vercel, a part of `lambda`."""
NAME = "glm-gateway"

_HOSTS = {
    "sys_platform": "linux",
    "platform_python_implementation": "CPython",
    "implementation_name": "cpython",
    "python_version": "3.13",
    "python_full_version": "3.13.0",
}
"""What all of them are, whatever this machine is."""
_REQUIREMENT = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>[^\s;]+)(?: ; (?P<marker>.*?))? \\")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_SPDX = re.compile(r"[A-Za-z0-9.+-]+(?: (?:OR|AND|WITH) [A-Za-z0-9.+-]+)*")


@dataclass(frozen=True)
class Requirement:
    name: str
    version: str
    hashes: tuple[str, ...]
    """Of each file that may be installed: a wheel for each system."""
    asked_by: tuple[str, ...]
    is_ours: bool
    """Asked for by a requirements*.in."""

    @property
    def purl(self) -> str:
        return f"pkg:pypi/{self.name}@{self.version}"


def main(folder: str, version: str) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    for target, file in TARGETS.items():
        path = Path(folder) / f"{NAME}-{target}.cdx.json"
        path.write_text(bill(target, (ROOT / file).read_text(), version), encoding="utf-8")
        print(path)


def bill(target: str, requirements: str, version: str) -> str:
    found = list(read(requirements))
    root = f"{NAME}-{target}"
    described = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            **_time(),
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": NAME,
                "version": version,
                "description": f"as deployed to {target}",
                "licenses": [{"license": {"id": "MIT"}}],
            },
        },
        "components": [_component(requirement) for requirement in found],
        "dependencies": list(_dependencies(root, found)),
    }
    # Of its content: the same bill has the same number.
    number = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(described, sort_keys=True))
    told = {"bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": f"urn:uuid:{number}", **described}
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"


def read(requirements: str) -> Iterator[Requirement]:
    """Read what uv has pinned, but for what other systems need."""
    for block in re.split(r"\n(?=[^\s#])", requirements):
        match = _REQUIREMENT.match(block)
        if match is None:
            continue  # the file's head
        if match["marker"] and not Marker(match["marker"]).evaluate({**_HOSTS}):
            continue
        _, _, via = block.partition("# via")
        asked_by = re.findall(r"^[ #]*([a-z0-9-]+)$", via, re.MULTILINE)
        yield Requirement(
            match["name"],
            match["version"],
            tuple(_HASH.findall(block)),
            asked_by=tuple(asked_by),
            is_ours="-r requirements" in via,
        )


def _component(requirement: Requirement) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": requirement.purl,
        "name": requirement.name,
        "version": requirement.version,
        "purl": requirement.purl,
        "hashes": [{"alg": "SHA-256", "content": digest} for digest in requirement.hashes],
        **_licences(requirement.name),
    }


def _licences(name: str) -> dict[str, Any]:
    """Say what the package says of itself, where it is installed."""
    try:
        told = distribution(name).metadata.json
    except PackageNotFoundError:
        return {}
    expression = told.get("license_expression") or told.get("license") or ""
    if isinstance(expression, str) and _SPDX.fullmatch(expression):
        return {"licenses": [{"expression": expression}]}
    kinds = [line for line in told.get("classifier", ()) if line.startswith("License :: ")]
    return (
        {"licenses": [{"license": {"name": kind.rpartition(" :: ")[2]}} for kind in kinds]} if kinds else {}
    )


def _dependencies(root: str, found: list[Requirement]) -> Iterator[dict[str, Any]]:
    """Turn what asked for each into what each asks for."""
    purls = {requirement.name: requirement.purl for requirement in found}
    asked: dict[str, list[str]] = {root: [], **{purl: [] for purl in purls.values()}}
    for requirement in found:
        if requirement.is_ours:
            asked[root].append(requirement.purl)
        for name in requirement.asked_by:
            asked[purls[name]].append(requirement.purl)
    for reference, wanted in asked.items():
        yield {"ref": reference, "dependsOn": sorted(wanted)}


def _time() -> dict[str, str]:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if not epoch:
        return {}
    return {"timestamp": datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}


if __name__ == "__main__":
    main(*sys.argv[1:])
