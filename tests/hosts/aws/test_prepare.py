"""A streaming function imports what its first chat needs before its port is open: Lambda's start is free."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import sys
from lib.upstreams.choose import prepare
before = set(sys.modules)
prepare()
assert "lib.upstreams.chatglm.reply" not in before
assert {"lib.upstreams.chatglm.reply", "lib.transport.pool", "lib.store.memory"} <= set(sys.modules)
from lib.transport.tls import FOR_HTTP
assert FOR_HTTP._making is not None
"""


OFFICIAL = "lib.upstreams.official.reply"


def run(*, ending: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    ours = ("CHATGLM_", "GLM_", "API_KEYS")
    own = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    command = [sys.executable, "-c", PROGRAM + ending]
    return subprocess.run(command, env=own | environ, capture_output=True, text=True, check=False)


def test_a_start_imports_what_the_first_chat_needs() -> None:
    done = run(STORE_URL="memory://")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("has_key", [True, False])
def test_the_official_api_is_prepared_if_there_is_a_key(*, has_key: bool) -> None:
    ending = f"assert ({OFFICIAL!r} in sys.modules) is {has_key}"
    key = {"GLM_API_KEYS": "id.secret", "API_KEYS": "sk-of-the-owner"} if has_key else {}
    done = run(ending=ending, STORE_URL="memory://", **key)
    assert (done.returncode, done.stderr) == (0, "")


def test_wrong_settings_do_not_end_the_start() -> None:
    done = run(STORE_URL="nonsense://")
    assert "AssertionError" in done.stderr, "nothing could be prepared"
    assert "ConfigurationError" not in done.stderr
