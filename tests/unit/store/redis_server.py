"""A real redis-server, on 127.0.0.1, as the tests see it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from lib.store.settings import RedisSettings
from tests.support.waiting import wait_until

NOT_INSTALLED = (
    "REDIS AND UPSTASH ARE NOT TESTED: redis-server is not installed. scripts/support/install-redis"
)

OWN_NAME = "test"
AGE = """
for _, key in ipairs(redis.call('KEYS', '*')) do
    redis.call('PEXPIRE', key, redis.call('PTTL', key) - ARGV[1])
end
"""


def find_redis() -> Path | None:
    """Find the machine's own, or what scripts/support/install-redis has put beside the repository."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "glm-gateway"
    installed = cache / "redis" / "redis-server"
    found = shutil.which("redis-server") or shutil.which(installed)
    return Path(found) if found else None


class RedisServer:
    """One that keeps nothing on disk, and may be stopped and started again on its port."""

    def __init__(self, program: Path, folder: Path, *options: str, password: str = "") -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._folder = folder
        self._command = [str(program), "--port", str(self.port), "--bind", "127.0.0.1", *options]
        self._command += ["--save", "", "--appendonly", "no", "--dir", str(folder)]
        self._client = redis.Redis(
            port=self.port,
            password=password or None,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            client_name=OWN_NAME,
        )
        self._client.response_callbacks.clear()  # Redis's answers as they are
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> RedisSettings:
        return RedisSettings(host="127.0.0.1", port=self.port)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        log = (self._folder / "redis.log").open("ab")
        with log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        wait_until(self._is_up, 20, "redis-server answers")

    def stop(self) -> None:
        self._client.close()
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(10)

    def call(self, *command: str | int) -> Any:
        """Have a command carried out, from whichever thread."""
        return self._client.execute_command(*command)  # type: ignore[no-untyped-call]

    def connections(self) -> int:
        """Count those that are open, without our own."""
        clients = self.call("CLIENT", "LIST").decode().splitlines()
        return sum(f" name={OWN_NAME} " not in client for client in clients)

    def connections_ever(self) -> int:
        stats = self.call("INFO", "stats").decode()
        return int(stats.partition("total_connections_received:")[2].split()[0])

    def age(self, seconds: float) -> None:
        """Let so much time pass for every entry: Redis has no clock to set, but its entries have ends."""
        self.call("EVAL", AGE, 0, round(seconds * 1000))

    def _is_up(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "redis.log").read_text()
        try:
            return bool(self.call("PING") == b"PONG")
        except redis.exceptions.ConnectionError:
            return False


@contextmanager
def running_redis(program: Path, folder: Path, *options: str, password: str = "") -> Iterator[RedisServer]:
    server = RedisServer(program, folder, *options, password=password)
    try:
        server.start()
        yield server
    finally:
        server.stop()
