"""The demo: its environment, its text, and the gateway beside its own upstream."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam

from hosts.box.demo import DEMO_KEY, use_official, use_simulator
from hosts.box.mounting import API_FOLDER
from hosts.box.terminal import demo_greeting
from scripts.support.redaction.files import redact_file
from tests.hosts.box.served import (
    Served,
)
from tests.support.client import CHAT, chat_body
from tests.support.waiting import wait_until


def test_the_demo_leaves_nothing_of_the_owners_account_in_reach() -> None:
    environ = {
        "CHATGLM_REFRESH_TOKENS": "mine",
        "CHATGLM_SIGN_SECRET": "mine",
        "API_KEYS": "mine",
        "GLM_API_KEYS": "mine",
        "FALLBACK_MODEL": "mine",
        "STORE_URL": "sqlite:///mine",
        "STORE_SECRET": "mine",
        "NO_PROXY": "example.org",
        "HOME": "kept",
    }
    use_simulator(environ, "http://127.0.0.1:9/chatglm", "made-up", "sqlite:///thrown-away")
    assert "mine" not in " ".join(environ.values())
    assert environ["CHATGLM_BASE_URL"] == "http://127.0.0.1:9/chatglm"
    assert environ["CHATGLM_REFRESH_TOKENS"] == "made-up"
    use_official(environ, "http://127.0.0.1:9/api/paas/v4", "made-up too")
    assert environ["GLM_API_BASE_URL"] == "http://127.0.0.1:9/api/paas/v4"
    assert environ["GLM_API_KEYS"] == "made-up too"
    assert environ["HOME"] == "kept"
    assert environ["no_proxy"] == "example.org,127.0.0.1,localhost"


def test_the_demo_says_the_url_the_key_and_what_to_copy() -> None:
    text = demo_greeting("http://127.0.0.1:8000")
    assert "base URL  http://127.0.0.1:8000/v1" in text
    assert "page      http://127.0.0.1:8000/\n" in text
    assert "curl -N http://127.0.0.1:8000/v1/chat/completions" in text
    assert 'OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="sk-demo")' in text


SETTINGS = """
import os
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

async def answer(request):
    names = ("CHATGLM_BASE_URL", "CHATGLM_REFRESH_TOKENS", "API_KEYS", "STORE_URL")
    return JSONResponse({name: os.environ[name] for name in names})

app = Starlette(routes=[Route("/settings", answer)])
"""


def test_the_demo_runs_beside_its_own_upstream(api_folder: Path) -> None:
    (api_folder / "settings.py").write_text(SETTINGS)
    with Served(api_folder, "--demo") as server:
        settings = httpx.get(f"{server.url()}/settings", trust_env=False).json()
        assert settings["API_KEYS"] == "sk-demo"
        assert settings["STORE_URL"].startswith("sqlite:///")  # Accounts can be added.
        store = Path(settings["STORE_URL"].removeprefix("sqlite:///")).parent
        assert store.exists()
        assert settings["CHATGLM_REFRESH_TOKENS"].count(".") == 2  # a JWT
        upstream = settings["CHATGLM_BASE_URL"]
        assert upstream.startswith("http://127.0.0.1:")
        assert httpx.get(upstream, trust_env=False).status_code == 404  # there, and strict
        assert server.end(signal.SIGINT) == (0, "")
    assert not store.exists()


def test_the_demo_runs_with_workers() -> None:
    with Served(API_FOLDER, "--demo", "--workers", "2") as server:
        base = server.url()
        page = httpx.get(f"{base}/", trust_env=False).text
        assert '<meta name="glm-gateway-demo-key" content="sk-demo">' in page
        url = f"{base}{CHAT}"
        headers = {"authorization": f"Bearer {DEMO_KEY}"}
        with ThreadPoolExecutor(4) as pool:
            answers = pool.map(
                lambda _: httpx.post(
                    url, json=chat_body(max_tokens=3), headers=headers, trust_env=False, timeout=30
                ),
                range(4),
            )
            assert [answer.status_code for answer in answers] == [200] * 4
        assert server.end(signal.SIGINT)[0] == 0


def test_the_demo_chats_with_the_official_sdk() -> None:
    with (
        Served(API_FOLDER, "--demo") as server,
        OpenAI(base_url=f"{server.url()}/v1", api_key=DEMO_KEY, max_retries=0, timeout=30) as client,
    ):
        messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello!"}]
        answer = client.chat.completions.create(model="glm-5.3", messages=messages)
        assert answer.choices[0].message.content
        with client.chat.completions.create(model="glm-5.3", messages=messages, stream=True) as chunks:
            pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        assert len(pieces) > 2
        assert "".join(pieces)
        official = client.chat.completions.with_raw_response.create(model="glm-4.6", messages=messages)
        assert official.headers["x-glm-upstream"] == "api"
        assert "the simulated glm-4.6" in (official.parse().choices[0].message.content or "")
        status, logged = server.end(signal.SIGINT)
        assert status == 0
        assert all(line.startswith('{"time"') for line in logged.splitlines()), (
            logged
        )  # the log, no traceback


def test_the_demo_replays_what_was_captured(tmp_path: Path) -> None:
    def ask(prompt: str) -> str:
        headers = {"authorization": f"Bearer {DEMO_KEY}"}
        answer = httpx.post(url, json=chat_body(prompt), headers=headers, trust_env=False, timeout=30)
        return str(answer.json()["choices"][0]["message"]["content"])

    with Served(API_FOLDER, "--demo", CAPTURE_DIR=str(tmp_path)) as server:
        url = f"{server.url()}{CHAT}"
        original = ask("[scene:text chars=30]")
        wait_until(lambda: list(tmp_path.glob("*.jsonl")))
        [raw] = tmp_path.glob("*.jsonl")
        redacted = redact_file(raw)
        assert ask(f"[scene:replay file={raw.name}]") == original
        replayed = ask(f"[scene:replay file={redacted.name}]")
        assert len(replayed) == len(original) == 30
        assert replayed != original
        assert server.end(signal.SIGINT)[0] == 0
