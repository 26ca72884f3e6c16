"""The server without the parts of Python that Windows lacks. Nothing of this ran on Windows itself."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from hosts.box.environment import require_workers
from hosts.box.mounting import API_FOLDER
from lib.errors import ConfigurationError
from tests.hosts.box.served import ROOT, Served
from tests.support.client import CHAT, chat_body

LACKING = """
import asyncio, os, signal, subprocess, tempfile, sys  # They use these parts themselves on this system.
for name in ("fcntl", "resource", "uvloop", "pwd", "grp", "termios"):
    sys.modules[name] = None
for name in ("fchmod", "pread", "fork", "getuid", "geteuid", "getppid", "O_NOFOLLOW"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("SIGHUP", "SIGKILL", "SIGUSR1"):
    delattr(signal, name)
"""


def test_the_demo_chats_without_what_windows_lacks() -> None:
    with Served(API_FOLDER, "--demo", first=LACKING) as server:
        url = server.url()
        headers = {"authorization": "Bearer sk-demo"}
        for stream in (False, True):
            body = chat_body(stream=stream, max_tokens=5)
            answer = httpx.post(url + CHAT, json=body, headers=headers, trust_env=False, timeout=30)
            assert answer.status_code == 200, answer.text
        health = httpx.get(f"{url}/health?deep=1", headers=headers, trust_env=False, timeout=30).json()
        assert health["status"] == "ok", health["notes"]
        assert server.end(signal.SIGINT)[0] == 0


def test_the_store_survives_a_restart_without_what_windows_lacks(tmp_path: Path) -> None:
    program = (
        LACKING
        + f"""
from lib.store.sqlite import SqliteStore
async def main():
    store = SqliteStore({str(tmp_path / "state.db")!r})
    print(await store.get("key"))
    await store.put("key", "kept", ttl_s=60)
    await store.close()
asyncio.run(main())
"""
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        )
        for _ in range(2)
    ]
    assert [run.stdout for run in runs] == ["None\n", "kept\n"]


def test_several_processes_are_refused_there() -> None:
    with pytest.raises(ConfigurationError, match="does not work on Windows"):
        require_workers("nt")
    require_workers("posix")


@pytest.mark.parametrize("document", ["README.md", "README.zh-CN.md"])
def test_the_lines_for_powershell_are_made_of_commands_that_exist(document: str) -> None:
    [block] = re.findall(
        r"^```powershell\n(py -m venv.*?)^```$", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL
    )
    make, install, serve = block.splitlines()
    assert make == r"py -m venv .venv\serve"
    assert install.startswith(r".venv\serve\Scripts\python -m pip install --require-hashes -r ")
    assert (ROOT / install.split()[-1].replace("\\", "/")).is_file()
    python, *arguments = serve.split()
    assert python == r".venv\serve\Scripts\python"
    done = subprocess.run(
        [sys.executable, *arguments, "--version"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("glm-gateway ")
