"""The pinned requirements: hashed, in agreement, and nothing deployed that should stay here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([*ROOT.glob("requirements*.txt"), *ROOT.glob("requirements/*.txt")])
PIN = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)


def source_of(file: Path) -> Path:
    """Find the .in file. Vercel wants the one .txt that is deployed everywhere at the top."""
    name = "deployed" if file == ROOT / "requirements.txt" else file.stem
    return ROOT / f"requirements/{name}.in"


def pins(file: str) -> dict[str, str]:
    return dict(PIN.findall((ROOT / file).read_text()))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_requirement_has_a_version_and_hashes(file: Path) -> None:
    requirements = re.split(r"\n(?=[^\s#])", file.read_text())[1:]
    assert requirements
    for requirement in requirements:
        assert PIN.match(requirement), requirement
        assert "--hash=sha256:" in requirement, requirement


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_file_comes_from_the_index_of_whoever_installs_and_from_nowhere_else(file: Path) -> None:
    # A line of options may name other indexes, and `NAME @ URL` anything at all; neither has a hash.
    for line in (file.read_text() + source_of(file).read_text()).splitlines():
        told = line.partition("#")[0].strip()
        assert not re.match(r"(-i|-f|-e|--(?!hash=))", told), line
        assert "://" not in told, line
        assert " @ " not in told, line


def test_every_target_has_its_pins_and_the_lock_makes_all_of_them() -> None:
    # Vercel; AWS Lambda; a laptop, a box and the image. Then what never leaves this machine.
    names = {"deployed", "aws", "box", "dev", "conformance", "page", "sbom", "lock"}
    names |= {f"clients-{file.parent.name}" for file in ROOT.glob("tests/clients/*/test_*.py")}
    assert {source_of(file).stem for file in FILES} == names
    assert {file.stem for file in (ROOT / "requirements").glob("*.in")} == names
    lock = (ROOT / "scripts/lock").read_text()
    assert set(re.findall(r"^(?:held |compile requirements/)([a-z-]+)", lock, re.MULTILINE)) == names
    assert "--generate-hashes --only-binary :all:" in lock


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_what_is_asked_for_is_pinned(file: Path) -> None:
    source = source_of(file).read_text()
    wanted = re.findall(r"^([a-z][a-z0-9-]*)", source, re.MULTILINE)
    assert [name for name in wanted if name not in pins(file.relative_to(ROOT).as_posix())] == [], (
        "run scripts/lock"
    )


def test_what_is_tested_is_what_is_deployed() -> None:
    assert pins("requirements.txt").items() <= pins("requirements/box.txt").items()
    assert pins("requirements/box.txt").items() <= pins("requirements/dev.txt").items()
    assert pins("requirements/box.txt").items() <= pins("requirements/conformance.txt").items()
    shared = pins("requirements/dev.txt").keys() & pins("requirements/conformance.txt").keys()
    for name in shared:
        assert pins("requirements/dev.txt")[name] == pins("requirements/conformance.txt")[name]


def test_what_makes_cold_starts_slower_is_not_deployed() -> None:
    slow = {"click", "uvicorn", "rich", "python-multipart", "pydantic"}
    assert not slow & pins("requirements.txt").keys()
