"""`scripts/doctor --tools`: what it asks, counts and advises, against the simulated model."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SimulatedAccount, Upstream

ROOT = Path(__file__).resolve().parents[2]


def doctor(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scripts.support.try_tools", "--pause", "0", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def account(upstream: Upstream) -> SimulatedAccount:
    return upstream.add_account()


def test_each_syntax_is_counted_and_the_account_left_clean(
    upstream: Upstream, account: SimulatedAccount, tmp_path: Path
) -> None:
    variables = {
        "CHATGLM_REFRESH_TOKENS": account.token,
        "CHATGLM_BASE_URL": upstream.base_url,
        "XDG_STATE_HOME": str(tmp_path),
    }
    done = doctor("--turns", "2", **variables)
    assert done.returncode == 0, done.stderr
    for syntax in ("blocks", "calls", "dsml"):
        assert f"{syntax} 2/2 read_file: called read_file" in done.stdout
        assert any(line.split()[:2] == [syntax, "2/2"] for line in done.stdout.splitlines())
    assert "TOOL_SYNTAX=blocks" in done.stdout
    assert upstream.count("assistant/stream") == 6
    assert not upstream.sim.live_conversations()
    assert account.token not in done.stdout + done.stderr
    assert doctor("--turns", "1", **variables).returncode == 0, "the rotated token is kept for the next run"


def test_without_a_token_it_says_what_to_set() -> None:
    done = doctor()
    assert done.returncode == 2
    assert "CHATGLM_REFRESH_TOKENS" in done.stderr
