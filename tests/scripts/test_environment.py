"""scripts/support/environment.sh: the Python that it finds, or asks for; the environment that it makes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
BASH = shutil.which("bash") or "bash"

NO_PYTHON = "exit 127"  # what a pyenv shim does whose version is not installed
TOO_OLD = 'case "$*" in *"version_info >= (3, 11)"*) exit 1 ;; esac; exit 0'
WITHOUT_VENV = f'case "$*" in *ensurepip*) exit 1 ;; esac; exec {sys.executable} "$@"'
REAL = f'exec {sys.executable} "$@"'

# Makes an environment without the seconds that venv and pip take; the real ones run in every scripts/test.
INSTALLED = f"""
case "$*" in
    *"import pip"*) exit 0 ;;
    *"-m pip install"*broken.txt*) echo "pip's own words" >&2; exit 1 ;;
    *"-m pip install"*) sleep 0.3 ;;
    *) exec {sys.executable} "$@" ;;
esac"""
QUICK = f"""
if [ "$1 $2" = "-m venv" ]; then
    mkdir -p "$3/bin"
    cp "${{0%/*}}/installed-python" "$3/bin/python"
else
    exec {sys.executable} "$@"
fi"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder that stands for the repository, and one for PATH without any Python."""
    (tmp_path / "bin").mkdir()
    for tool in ("cmp", "cp", "grep", "mkdir", "rm", "sleep"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool) or tool)
    put_python(tmp_path, "installed-python", INSTALLED)
    (tmp_path / "requirements.txt").write_text("one==1\n")
    return tmp_path


def put_python(folder: Path, name: str, does: str) -> None:
    program = folder / "bin" / name
    program.write_text(f"#!{BASH}\n{does}\n")
    program.chmod(0o755)


def start(folder: Path, script: str, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [BASH, "-c", f"set -euo pipefail; . '{SCRIPTS}/support/environment.sh'; {script}"],
        cwd=folder,
        env={"PATH": str(folder / "bin"), "HOME": str(folder), **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, script: str, **environ: str) -> tuple[int, str, str]:
    with start(folder, script, **environ) as process:
        said, errors = process.communicate(timeout=60)
    return process.returncode, said, errors


FIND = 'find_python; echo "$PYTHON_FOUND"'
MAKE = 'ensure_environment serve requirements.txt; "$ENVIRONMENT_PYTHON" -c "print(1 + 1)"'


def test_without_any_python_it_says_what_to_install(folder: Path) -> None:
    code, said, errors = run(folder, MAKE)
    assert (code, said) == (1, "")
    assert "error: no Python 3.11 or later found" in errors
    assert "apt install python3 python3-venv" in errors


def test_shims_that_fail_and_old_versions_are_passed_over(folder: Path) -> None:
    put_python(folder, "python3.13", NO_PYTHON)
    put_python(folder, "python3.12", TOO_OLD)
    put_python(folder, "python3", REAL)
    assert run(folder, FIND) == (0, f"{folder}/bin/python3\n", "")


def test_the_second_of_a_name_on_the_path_is_tried_when_the_first_fails(folder: Path) -> None:
    put_python(folder, "python3.13", NO_PYTHON)
    (folder / "bin2/bin").mkdir(parents=True)
    put_python(folder / "bin2", "python3.13", REAL)
    path = f"{folder}/bin:{folder}/bin2/bin"
    assert run(folder, FIND, PATH=path) == (0, f"{folder}/bin2/bin/python3.13\n", "")


def test_pyenvs_versions_are_found_behind_shims_that_refuse(folder: Path) -> None:
    put_python(folder, "python3", NO_PYTHON)
    (folder / ".pyenv/versions/3.12.1/bin").mkdir(parents=True)
    put_python(folder / ".pyenv/versions/3.12.1", "python3", REAL)
    assert run(folder, FIND) == (0, f"{folder}/.pyenv/versions/3.12.1/bin/python3\n", "")


def test_a_python_without_venv_is_used_for_nothing_but_advice(folder: Path) -> None:
    put_python(folder, "python3.13", WITHOUT_VENV)
    code, _, errors = run(folder, FIND)
    assert code == 1
    assert "cannot make virtual environments" in errors
    assert "apt install python3-venv" in errors
    put_python(folder, "python3", REAL)
    assert run(folder, FIND) == (0, f"{folder}/bin/python3\n", "")


def test_a_chosen_python_is_the_only_one_asked(folder: Path) -> None:
    put_python(folder, "python3", REAL)
    put_python(folder, "old", TOO_OLD)
    assert run(folder, FIND, PYTHON=sys.executable) == (0, f"{sys.executable}\n", "")
    code, _, errors = run(folder, FIND, PYTHON=str(folder / "bin/old"))
    assert code == 1
    assert "old is not a Python 3.11 or later that runs" in errors


def test_an_environment_is_made_once_reused_and_made_anew_when_it_must(folder: Path) -> None:
    put_python(folder, "python3", QUICK)
    code, said, errors = run(folder, MAKE)
    assert (code, said) == (0, "2\n"), errors
    assert "Making .venv/serve" in errors

    put_python(folder, "python3", NO_PYTHON)  # a complete one asks for no Python but its own
    assert run(folder, MAKE) == (0, "2\n", "")

    put_python(folder, "python3", QUICK)
    (folder / ".venv/serve/installed.txt").unlink()  # interrupted before the end
    (folder / ".venv/serve/left-over").touch()
    assert "Making .venv/serve" in run(folder, MAKE)[2]
    assert not (folder / ".venv/serve/left-over").exists()

    (folder / "requirements.txt").write_text("# nothing else\none==1\n    # via nobody\n")
    assert run(folder, MAKE) == (0, "2\n", "")

    (folder / "requirements.txt").write_text("one==2\n")
    assert "Making .venv/serve" in run(folder, MAKE)[2]
    assert run(folder, MAKE) == (0, "2\n", "")


def test_a_chosen_python_has_an_environment_of_its_own(folder: Path) -> None:
    put_python(folder, "python3", QUICK)
    assert run(folder, MAKE, PYTHON="python3")[:2] == (0, "2\n")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert (folder / f".venv/serve-{version}/installed.txt").read_text() == "one==1\n"


def test_requirements_that_cannot_be_installed_leave_no_environment_that_looks_complete(folder: Path) -> None:
    put_python(folder, "python3", QUICK)
    (folder / "broken.txt").write_text("none==1\n")
    code, _, errors = run(folder, "ensure_environment serve broken.txt; echo not reached")
    assert code == 1
    assert "pip's own words\nerror: could not install broken.txt" in errors
    assert not (folder / ".venv/serve/installed.txt").exists()


def test_two_at_the_same_time_make_it_once(folder: Path) -> None:
    put_python(folder, "python3", QUICK)
    with start(folder, MAKE) as one, start(folder, MAKE) as other:
        outcomes = [process.communicate(timeout=60) for process in (one, other)]
    assert [said for said, _ in outcomes] == ["2\n", "2\n"]
    assert sum("Making .venv/serve" in errors for _, errors in outcomes) == 1


def test_a_lock_ends_with_its_holder_and_is_not_waited_for_without_end(folder: Path) -> None:
    put_python(folder, "python3", REAL)
    hold = "find_python; hold_lock x.lock; echo held; exec sleep 60"
    take = "find_python; hold_lock x.lock; echo taken"
    with start(folder, hold) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        code, _, errors = run(folder, take, LOCK_WAIT_S="0.3")
        assert code == 1
        assert "another script has held x.lock for 0.3 s" in errors
        holder.send_signal(signal.SIGKILL)
    started = time.monotonic()
    assert run(folder, take)[:2] == (0, "taken\n")
    assert time.monotonic() - started < 30


def test_the_scripts_can_be_run_and_are_valid_bash() -> None:
    for name in ("serve", "test", "check", "lock"):
        assert os.access(SCRIPTS / name, os.X_OK)
        subprocess.run([BASH, "-n", SCRIPTS / name], check=True)
