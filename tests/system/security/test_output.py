"""All that a process ever says, on both of its outputs, with every kind of debugging on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from lib.upstreams.chatglm.accounts.account import parse_account
from tests.conftest import Upstream
from tests.support.client import CHAT, chat_body
from tests.system.security.process import ROOT, Process
from tests.system.security.watch import PRIVATE, SECRET, private, secret

DEBUGGING = {
    "LOG_LEVEL": "DEBUG",
    "PYTHONASYNCIODEBUG": "1",
    "PYTHONDEVMODE": "1",
    "PYTHONWARNINGS": "default",
}


@pytest.mark.parametrize("is_reachable", [True, False], ids=["an upstream", "none"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_from_its_start_to_its_end(
    tmp_path: Path, upstream: Upstream, http: httpx.Client, workers: str, *, is_reachable: bool
) -> None:
    account = upstream.add_account()
    settings = {
        "API_KEYS": f"{secret('KEY')},{secret('OTHER')}",
        "CHATGLM_REFRESH_TOKENS": account.token,
        "CHATGLM_BASE_URL": upstream.base_url if is_reachable else "http://127.0.0.1:1/chatglm",
        **DEBUGGING,
    }
    with Process(tmp_path, "--workers", workers, **settings) as process:
        for key in (secret("KEY"), secret("WRONG")):
            headers = {"authorization": f"Bearer {key}", "cookie": secret("COOKIE")}
            for is_stream in (False, True):
                body = chat_body(private("PROMPT"), stream=is_stream)
                http.post(process.url + CHAT, json=body, headers=headers)
            http.get(f"{process.url}/v1/models?key={key}")
            http.get(f"{process.url}/health?deep=1", headers=headers)
            http.post(f"{process.url}/token/check", json={"token": account.token}, headers=headers)
        assert process.end() == 0
        said = process.said
    assert said.count('"message":"request"') == 10
    for word in (SECRET, PRIVATE, account.token, account.token.rpartition(".")[2]):
        assert word not in said
    assert "Traceback" not in said
    assert parse_account(account.token).label in said, "it is told by its label"


@pytest.mark.parametrize(
    "mistakes",
    [
        {"API_KEYS": f"sha256:{secret('HASH')}"},
        {"STORE_URL": f"mysql://{secret('USER')}:{secret('PASSWORD')}@h"},
        {"STORE_URL": f"redis://{secret('USER')}:{secret('PASSWORD')}@h:99999"},
        {"STORE_URL": "dynamodb://t?region=r", "AWS_ACCESS_KEY_ID": secret("ID")},
        {"CHATGLM_BASE_URL": f"ftp://{secret('PASSWORD')}@h"},
        {"CHATGLM_SIGN_SECRET": f"{secret('SIGN')}é"},
        {
            "STORE_URL": "upstash://",
            "KV_REST_API_URL": f"ftp://{secret('HOST')}",
            "KV_REST_API_TOKEN": f"{secret('TOKEN')}é",
        },
    ],
    ids=",".join,
)
def test_a_start_that_fails_names_the_setting_and_not_its_value(
    tmp_path: Path, mistakes: dict[str, str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hosts.box", "--port", "0"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(tmp_path), **DEBUGGING, **mistakes},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "error: Wrong settings: " in done.stderr
    assert any(name in done.stderr for name in mistakes)
    assert SECRET not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
