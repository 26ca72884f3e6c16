"""What a new process loads for its first chat: each package here costs every cold start 10 to 80 ms."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.conftest import SimulatedAccount, Upstream
from tests.support.client import KEY

UNWANTED = {
    "httpcore": "lib/transport does its work",
    "h11": "httptools parses",
    "anyio._backends": "no thread and no task group of anyio's is used",
    "redis": "hiredis parses",
    "hiredis": "another store's",
    "cryptography": "for stores outside the machine",
    "PIL": "for videos",
    "lib.files.fetcher": "this chat names no file",
}
PROGRAM = """
import asyncio, json, sys
from importlib.util import module_from_spec, spec_from_file_location

spec = spec_from_file_location("endpoint", "api/v1/chat/completions.py")
module = module_from_spec(spec)
spec.loader.exec_module(module)
key, is_streamed = sys.argv[1], sys.argv[2] == "True"
asked = {"model": "glm-5.3-flash", "stream": is_streamed, "messages": [{"role": "user", "content": "Hello!"}]}
sent, gone = [], asyncio.Event()
bodies = [json.dumps(asked).encode()]

async def receive():
    if bodies:
        return {"type": "http.request", "body": bodies.pop()}
    await gone.wait()

async def send(message):
    sent.append(message)

scope = {
    "type": "http", "method": "POST", "path": "/v1/chat/completions", "query_string": b"", "root_path": "",
    "headers": [(b"authorization", b"Bearer " + key.encode()), (b"content-type", b"application/json")],
    "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2), "scheme": "http", "http_version": "1.1",
}
asyncio.run(module.app(scope, receive, send))
print(json.dumps([sent[0]["status"], len(b"".join(m.get("body", b"") for m in sent)), sorted(sys.modules)]))
"""


@pytest.mark.parametrize("is_streamed", [True, False])
def test_a_first_chat_loads_nothing_that_it_does_not_need(
    upstream: Upstream, account: SimulatedAccount, environment: pytest.MonkeyPatch, *, is_streamed: bool
) -> None:
    environment.setenv("CHATGLM_REFRESH_TOKENS", account.token)
    environment.setenv("API_KEYS", KEY)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, KEY, str(is_streamed)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    status, size, modules = json.loads(done.stdout)
    assert (status, size > 100, upstream.count("assistant/stream")) == (200, True, 1)
    loaded = {name for name in UNWANTED if any(f"{module}.".startswith(f"{name}.") for module in modules)}
    assert loaded == set()
    assert "httptools" in modules
