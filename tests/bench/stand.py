"""The programs under measurement, each in its own process on 127.0.0.1, and the requests they are asked."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lib.settings import Settings
from lib.upstreams.chatglm.accounts.account import parse_account
from lib.upstreams.chatglm.wire import protocol
from lib.upstreams.chatglm.wire.client import ChatGLM, Config
from lib.upstreams.chatglm.wire.models import Target
from lib.upstreams.chatglm.wire.signing import sign
from simulator.scenes import sample_text
from tests.bench import wire
from tests.bench.server import USAGE

API_KEY = "sk-bench"
STOP_TIMEOUT_S = 10.0


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"Run {name} on a file of the project.",
            "parameters": {
                "type": "object",
                "properties": {"path": {"type": "string"}, "limit": {"type": "integer"}},
                "required": ["path"],
            },
        },
    }
    for name in ("read_file", "write_file", "search_text", "list_folder", "run_command")
]


@dataclass(frozen=True, slots=True)
class Ask:
    """An answer of the simulator's scene `text`, which the same arguments make again."""

    chars: int
    step: int = 5
    """Characters an increment."""
    seed: int = 1
    batch: int = 1
    """Increments in one write."""
    has_tools: bool = False
    """The request declares TOOLS; the model answers in text all the same."""

    @property
    def tag(self) -> str:
        return f"[scene:text chars={self.chars} step={self.step} seed={self.seed} batch={self.batch}]"

    @property
    def text(self) -> str:
        return sample_text(self.chars, self.seed)

    @property
    def events(self) -> int:
        """The increments; and the opening, the finished part, the terminal event."""
        return -(-self.chars // self.step) + 3


@dataclass(frozen=True, slots=True)
class Usage:
    cpu_s: float
    resident_bytes: int


@dataclass(frozen=True, slots=True)
class Account:
    """Authority for requests that do not go through the gateway."""

    access_token: str
    device_id: str


class Program:
    """A gateway or a floor in its process."""

    def __init__(self, url: str) -> None:
        self.url = url

    def usage(self) -> Usage:
        return Usage(**wire.call(self.url + USAGE))


class Stand:
    """Simulator, gateway and floor; the accounts are the gateway's, or one's own."""

    def __init__(self, simulator_url: str, gateway: Program, floor: Program, official_url: str = "") -> None:
        self.chat_url = simulator_url + protocol.CHAT_STREAM
        self.gateway = gateway
        self.floor = floor
        self._simulator_url = simulator_url
        self._official_url = official_url

    def log_in(self, count: int) -> list[Account]:
        """Make accounts that the gateway knows nothing of."""
        tokens = [_add_account(self._simulator_url) for _ in range(count)]
        return asyncio.run(_refresh_all(self._simulator_url, tokens))

    def ask_gateway(self, ask: Ask, *, model: str = "glm-5.3-flash") -> bytes:
        message = {"role": "user", "content": ask.tag}
        body: dict[str, Any] = {"model": model, "stream": True, "messages": [message]}
        if ask.has_tools:
            body["tools"] = TOOLS
        headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}
        return wire.request(self.gateway.url + "/v1/chat/completions", headers, json.dumps(body).encode())

    def ask_floor(self, ask: Ask, account: Account) -> bytes:
        headers = self._upstream_headers(account) | {"X-Upstream-Url": self.chat_url}
        return wire.request(self.floor.url + "/", headers, _upstream_body(ask))

    def ask_simulator(self, ask: Ask, account: Account) -> bytes:
        return wire.request(self.chat_url, self._upstream_headers(account), _upstream_body(ask))

    def check_simulator(self) -> None:
        """Raise where the simulator saw something that a browser would not have done."""
        for url in filter(None, (self._simulator_url, self._official_url)):
            origin = url.removesuffix("/chatglm").removesuffix("/api/paas/v4")
            if violations := wire.call(f"{origin}/__simulator__/state")["violations"]:
                raise wire.GarbledAnswer(f"the simulator complains: {violations[:3]}")

    def _upstream_headers(self, account: Account) -> dict[str, str]:
        settings = Settings()
        app = protocol.app_headers(
            app_version=settings.app_version,
            user_agent=settings.user_agent,
            device_id=account.device_id,
            request_id=uuid.uuid4().hex,
        )
        signature = sign(int(time.time() * 1000), uuid.uuid4().hex, settings.sign_secret)
        return {
            **app,
            **signature,
            "Authorization": f"Bearer {account.access_token}",
            "Content-Type": "application/json;charset=UTF-8",
            "Accept": "text/event-stream",
            "Referer": protocol.MAIN_REFERER,
        }


@contextmanager
def open_stand(*, pace_s: float = 0.0, accounts: int = 1) -> Iterator[Stand]:
    """Start the three programs; the gateway has so many accounts, the owner's."""
    with (
        _process("simulator", "--pace", str(pace_s)) as simulator,
        _process("simulator.official", "--pace", str(pace_s)) as official,
    ):
        url = str(simulator["url"])
        tokens = [str(simulator["refresh_token"])] + [_add_account(url) for _ in range(accounts - 1)]
        environ = {
            "CHATGLM_BASE_URL": url,
            "CHATGLM_REFRESH_TOKENS": ",".join(tokens),
            "API_KEYS": API_KEY,
            "GLM_API_BASE_URL": str(official["url"]),
            "GLM_API_KEYS": str(official["key"]),
            "STORE_URL": "memory://",
        }
        with (
            _process("tests.bench.server", "gateway", **environ) as gateway,
            _process("tests.bench.server", "floor") as floor,
        ):
            programs = Program(str(gateway["url"])), Program(str(floor["url"]))
            yield Stand(url, *programs, official_url=str(official["url"]))


@contextmanager
def _process(module: str, *arguments: str, **environ: str) -> Iterator[dict[str, Any]]:
    """Run one of our modules; what it prints first is JSON and says where it is."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CHATGLM_")}
    inherited |= {"no_proxy": "127.0.0.1", "PYTHONHASHSEED": "0"}
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env=inherited | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # one line of log for each request: written, as it is in life
    )
    assert process.stdout is not None
    try:
        first_line = process.stdout.readline()
        if not first_line:
            raise RuntimeError(f"{module} did not start; see: {sys.executable} -m {module}")
        yield json.loads(first_line)
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _add_account(simulator_url: str) -> str:
    origin = simulator_url.removesuffix("/chatglm")
    return str(wire.call(f"{origin}/__simulator__/accounts", {})["refresh_token"])


async def _refresh_all(simulator_url: str, refresh_tokens: list[str]) -> list[Account]:
    settings = Settings()
    upstream = ChatGLM(
        Config(
            base_url=simulator_url,
            sign_secret=settings.sign_secret,
            app_version=settings.app_version,
            user_agent=settings.user_agent,
            assistant_id=settings.assistant_id,
            connect_timeout_s=settings.connect_timeout_s,
        )
    )
    accounts = []
    for token in refresh_tokens:
        device_id = parse_account(token).device_id
        granted = await upstream.refresh(token, device_id)
        accounts.append(Account(granted.access_token, device_id))
    await upstream.aclose()
    return accounts


def _upstream_body(ask: Ask) -> bytes:
    target = Target(model="glm-5.3-flash")
    return protocol.chat_body(ask.tag, target, assistant_id=Settings().assistant_id, conversation_id="")
