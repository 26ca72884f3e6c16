"""The steps of continuous integration: each is there, and none of the longer tests is forgotten."""

from __future__ import annotations

import re
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WAYS = pytest.mark.parametrize("arguments", [(), ("--quick",)], ids=["whole", "quick"])


def ci(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(ROOT / ".ci/run"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def steps(*arguments: str) -> list[str]:
    done = ci("--list", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@WAYS
def test_every_step_names_what_is_there(arguments: tuple[str, ...]) -> None:
    for step in steps(*arguments):
        script, *rest = step.split()
        assert (ROOT / script).is_file()
        for folder in rest:
            assert not folder.startswith("tests/") or (ROOT / folder).is_dir(), step
        if "scripts/test-deploy" in script:
            assert (ROOT / "tests/system/deploy" / rest[0]).is_dir()


def test_the_whole_runs_what_pytest_alone_leaves_out() -> None:
    settings = ConfigParser()
    settings.read(ROOT / "setup.cfg")
    left_out = {
        name for name in settings["tool:pytest"]["norecursedirs"].split() if name.startswith("tests/")
    }
    by_name = {step.split()[1] for step in steps() if step.startswith("scripts/test tests/")}
    assert {"scripts/test-conformance", "scripts/test-page"} <= set(steps())
    by_script = {"tests/clients", "tests/page", "tests/system/conformance", "tests/system/deploy"}
    assert left_out == by_name | by_script


def test_each_host_is_deployed_to() -> None:
    hosts = {
        path.name for path in (ROOT / "tests/system/deploy").iterdir() if (path / "conftest.py").is_file()
    }
    assert {step.split()[1] for step in steps() if "test-deploy" in step} == hosts
    assert {step.split()[1] for step in steps("--quick") if "test-deploy" in step} == hosts


def test_the_quick_way_runs_one_test_of_each_host() -> None:
    chosen = [step.split() for step in steps("--quick") if "test-deploy" in step]
    for _, host, option, name in chosen:
        files = (ROOT / "tests/system/deploy" / host).glob("test_*.py")
        text = "\n".join(file.read_text() for file in files)
        found = re.findall(r"^(?:async )?def (test_\w+)", text, re.MULTILINE)
        assert option == "-k"
        assert [test for test in found if name in test] == [name]


def test_another_argument_runs_nothing() -> None:
    done = ci("--fast")
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: .ci/run" in done.stderr
