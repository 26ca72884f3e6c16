"""A release in one command, the name of its owner, its image, and the update that a copy is offered.

Git runs on repositories of the test's own; docker and gh are programs that write down how they are called.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lib.version import VERSION
from scripts.support.owner import main as owner

ROOT = Path(__file__).resolve().parents[2]
CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- A thing.\n"


def run(folder: Path, *command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    names = {
        f"GIT_{role}_{field}": "t@example.org"
        for role in ("AUTHOR", "COMMITTER")
        for field in ("NAME", "EMAIL")
    }
    return subprocess.run(
        command,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **names, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def git(folder: Path, *arguments: str) -> str:
    done = run(folder, "git", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small repository with our scripts, on main, with a remote."""
    folder = tmp_path / "project"
    for name in ("scripts/release", "scripts/support/owner.py", "scripts/support/offer-update"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "lib").mkdir()
    (folder / ".github").mkdir()
    (folder / "lib/version.py").write_text('"""The version."""\n\nVERSION = "0.1.0"\n')
    (folder / "CHANGELOG.md").write_text(CHANGELOG)
    (folder / ".gitignore").write_text("__pycache__/\n")
    (folder / "README.md").write_text("one\ntwo\nthree\nfour\nfive\nsix\nseven\n")
    (folder / ".github/source").write_text("someone/glm-gateway\n")
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", "remote.git")
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "remote", "add", "origin", str(tmp_path / "remote.git"))
    commit(folder, "Begin")
    git(folder, "push", "--quiet", "origin", "main")
    return folder


def commit(folder: Path, subject: str) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", subject)


# The release


def test_one_command_makes_and_pushes_a_release(project: Path) -> None:
    done = run(project, "scripts/release", "0.2.0")
    assert done.returncode == 0, done.stderr
    assert 'VERSION = "0.2.0"' in (project / "lib/version.py").read_text()
    log = (project / "CHANGELOG.md").read_text()
    assert re.search(r"## \[Unreleased\]\n\n## \[0\.2\.0\] - \d{4}-\d\d-\d\d\n\n### Added\n\n- A thing", log)
    assert git(project, "log", "-1", "--format=%s") == "Release 0.2.0"
    assert git(project, "status", "--porcelain") == ""
    assert git(project, "ls-remote", "origin", "refs/tags/v0.2.0")
    assert git(project, "rev-parse", "origin/main") == git(project, "rev-parse", "v0.2.0^{commit}")


def test_the_first_release_may_have_the_version_that_is_there(project: Path) -> None:
    done = run(project, "scripts/release", "0.1.0", "--no-push")
    assert done.returncode == 0, done.stderr
    assert "git push --atomic origin main v0.1.0" in done.stdout
    assert git(project, "ls-remote", "origin", "refs/tags/v0.1.0") == ""
    again = run(project, "scripts/release", "0.1.0", "--no-push")
    assert "the tag v0.1.0 is there already" in again.stderr


@pytest.mark.parametrize("version", ["", "1", "v0.2.0", "0.0.9", "0.2.0-beta"])
def test_a_wrong_version_is_refused(project: Path, version: str) -> None:
    assert run(project, "scripts/release", version).returncode == 1
    assert git(project, "tag") == ""


def test_a_release_wants_a_clean_main_and_something_to_tell(project: Path) -> None:
    (project / "new.txt").write_text("x")
    assert "not committed" in run(project, "scripts/release", "0.2.0").stderr
    (project / "new.txt").unlink()
    git(project, "switch", "--quiet", "--create", "other")
    assert "on main" in run(project, "scripts/release", "0.2.0").stderr
    git(project, "switch", "--quiet", "main")
    (project / "CHANGELOG.md").write_text(CHANGELOG.replace("- A thing", "A thing"))
    commit(project, "Forget the list")
    assert "nothing under Unreleased" in run(project, "scripts/release", "0.2.0").stderr


def test_while_the_placeholder_stands_nothing_is_pushed_or_tagged(project: Path) -> None:
    (project / "README.md").write_text("docker run ghcr.io/OWNER/glm-gateway\n")
    commit(project, "Name no owner")
    done = run(project, "scripts/release", "0.2.0")
    assert done.returncode == 1
    assert "README.md:1" in done.stderr
    assert "scripts.support.owner --fill OWNER/NAME" in done.stderr
    assert git(project, "tag") == ""
    assert git(project, "status", "--porcelain") == ""
    local = run(project, "scripts/release", "0.2.0", "--no-push")
    assert local.returncode == 0
    assert "do not push it" in local.stderr


def test_the_version_stands_in_one_place() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)
    assert '"version": "{version}"' in (ROOT / "lib/dialects/openapi.json").read_text()


# The owner


def test_the_placeholder_is_found_and_filled_in_everywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / ".github").mkdir()
    (tmp_path / "README.md").write_text(
        "a\nhttps%3A%2F%2Fgithub.com%2FOWNER%2Fglm-gateway\nThe OWNER of it\n"
    )
    (tmp_path / "docs/x.md").write_text("docker run ghcr.io/OWNER/glm-gateway\n")
    (tmp_path / "compose.yaml").write_text("image: ghcr.io/owner/glm-gateway\n")
    (tmp_path / ".github/source").write_text("OWNER/glm-gateway\n")
    page = tmp_path / "lib/web/page/index.html"
    page.parent.mkdir(parents=True)
    page.write_text('<meta name="glm-gateway-repository" content="OWNER/glm-gateway">\n')
    assert owner(["--check"], tmp_path) == 1
    told = capsys.readouterr().err
    places = ("README.md:2", "docs/x.md:1", "compose.yaml:1", ".github/source:1", "page/index.html:1")
    assert [place for place in places if place not in told] == []
    assert owner(["--fill", "Ada-L/gate.Way"], tmp_path) == 0
    assert owner(["--check"], tmp_path) == 0
    assert "github.com%2FAda-L%2Fgate.Way\nThe OWNER of it" in (tmp_path / "README.md").read_text()
    assert (tmp_path / "docs/x.md").read_text() == "docker run ghcr.io/ada-l/gate.way\n"
    assert (tmp_path / "compose.yaml").read_text() == "image: ghcr.io/ada-l/gate.way\n"
    assert (tmp_path / ".github/source").read_text() == "Ada-L/gate.Way\n"
    assert page.read_text() == '<meta name="glm-gateway-repository" content="Ada-L/gate.Way">\n'


@pytest.mark.parametrize("name", ["ada", "a b/c", "../x", "a/b/c", "a/$(x)"])
def test_what_is_no_name_of_a_repository_is_filled_in_nowhere(name: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        owner(["--fill", name], tmp_path)


def test_the_release_is_refused_while_the_placeholder_stands() -> None:
    text = (ROOT / ".github/workflows/release.yml").read_text()
    assert text.index("scripts.support.owner --check") < text.index("scripts/sbom dist")


# The image


def test_compose_names_an_image_that_docker_takes() -> None:
    [image] = re.findall(r"^ +image: (\S+)$", (ROOT / "compose.yaml").read_text(), re.MULTILINE)
    assert re.fullmatch(r"ghcr\.io/[a-z0-9-]+/[a-z0-9._-]+", image), "no capital letters"


def recorder(folder: Path, name: str, says: str) -> str:
    """Make a program that writes down its arguments; return the PATH that finds it first."""
    program = folder / "bin" / name
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" >> {folder}/{name}.log\necho '{says}'\n")
    program.chmod(0o755)
    return f"{program.parent}:{os.environ['PATH']}"


def test_the_image_is_built_on_a_digest_and_says_what_it_is(tmp_path: Path) -> None:
    path = recorder(tmp_path, "docker", "sha256:" + "0" * 64)
    done = run(
        ROOT, "scripts/support/build-image", "9.8.7", "x.tar", PATH=path, GITHUB_REPOSITORY="ada/glm-gateway"
    )
    assert done.returncode == 0, done.stderr
    called = (tmp_path / "docker.log").read_text().splitlines()
    assert f"BASE=python:3.13-slim@sha256:{'0' * 64}" in called
    for label in ("version=9.8.7", "source=https://github.com/ada/glm-gateway", "licenses=MIT"):
        assert f"org.opencontainers.image.{label}" in called
    assert {"--sbom=true", "--provenance=mode=max", "linux/amd64,linux/arm64"} <= set(called)
    assert "ARG BASE=python:3.13-slim\n" in (ROOT / "Dockerfile").read_text()


def test_without_a_digest_no_image_is_built(tmp_path: Path) -> None:
    done = run(ROOT, "scripts/support/build-image", "1", "x.tar", PATH=recorder(tmp_path, "docker", "none"))
    assert done.returncode == 1
    assert "build" not in (tmp_path / "docker.log").read_text().splitlines()[1:]


# The update of a copy


@pytest.fixture
def copy(project: Path, tmp_path: Path) -> Path:
    """A copy of 0.1.0 as the deploy button makes it: without history, and with a change of its own."""
    (project / ".github/workflows").mkdir()
    (project / ".github/workflows/x.yml").write_text("old\n")
    commit(project, "Work")
    git(project, "tag", "v0.1.0")
    folder = tmp_path / "copy"
    shutil.copytree(project, folder, ignore=shutil.ignore_patterns(".git"))
    (folder / "README.md").write_text("mine\ntwo\nthree\nfour\nfive\nsix\nseven\n")
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", "copy.git")
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, "Copy")
    (project / "README.md").write_text("one\ntwo\nthree\nfour\nfive\nsix\nSEVEN\n")
    (project / "lib/new.py").write_text("new = 1\n")
    (project / ".github/workflows/x.yml").write_text("new\n")
    (project / "lib/version.py").write_text('VERSION = "0.2.0"\n')
    commit(project, "Go on")
    git(project, "tag", "v0.2.0")
    return folder


def offer(copy: Path, newest: str) -> subprocess.CompletedProcess[str]:
    folder = copy.parent
    return run(
        copy,
        *("bash", "scripts/support/offer-update"),
        PATH=recorder(folder, "gh", newest),
        GITHUB_REPOSITORY="ada/glm-gateway",
        SOURCE_URL=str(folder / "project"),
        PUSH_URL=str(folder / "copy.git"),
    )


def test_a_newer_release_is_offered_once_and_the_copys_own_changes_stay(copy: Path) -> None:
    done = offer(copy, "v0.2.0")
    assert done.returncode == 0, done.stderr
    pushed = copy.parent / "copy.git"
    merged = git(pushed, "show", "update-v0.2.0:README.md")
    assert merged == "mine\ntwo\nthree\nfour\nfive\nsix\nSEVEN"
    assert git(pushed, "show", "update-v0.2.0:lib/new.py") == "new = 1"
    assert git(pushed, "show", "update-v0.2.0:.github/workflows/x.yml") == "old"
    assert "create" in (copy.parent / "gh.log").read_text().splitlines()
    git(copy, "switch", "--quiet", "main")
    assert "offered already" in offer(copy, "v0.2.0").stdout


@pytest.mark.parametrize("newest", ["v0.1.0", "v0.0.9"])
def test_no_older_release_is_offered(copy: Path, newest: str) -> None:
    assert "is the newest version" in offer(copy, newest).stdout
    assert "create" not in (copy.parent / "gh.log").read_text()


def test_a_conflict_is_said(copy: Path) -> None:
    (copy / "README.md").write_text("one\ntwo\nthree\nfour\nfive\nsix\nmine\n")
    commit(copy, "Change the same line")
    done = offer(copy, "v0.2.0")
    assert done.returncode == 1
    assert "changes the same lines as this copy" in done.stderr


@pytest.mark.parametrize("source", ["OWNER/glm-gateway", "ada/glm-gateway"])
def test_the_source_itself_is_offered_nothing(copy: Path, source: str) -> None:
    (copy / ".github/source").write_text(f"{source}\n")
    assert "no copy" in offer(copy, "v0.2.0").stdout
