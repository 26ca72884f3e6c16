"""The image: built by the Dockerfile's own steps, run by nobody in particular on a read-only root."""

from __future__ import annotations

import base64
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import pytest

from tests.conftest import Upstream
from tests.support.client import KEY, Client
from tests.support.waiting import wait_until
from tests.system.deploy.box.image import Dockerfile, Image, is_sent


class Container:
    """The image's process, as its ENTRYPOINT and USER say; the port is one that is free."""

    def __init__(self, image: Image, data: Path, *arguments: str, **environ: str) -> None:
        self._image = image
        self._data = data
        entrypoint = [*image.dockerfile.entrypoint, "--port", "0", *arguments]
        self.process = subprocess.Popen(
            image.command(entrypoint, environ, data),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(r"(http://\S+)/v1$", line):
                self.url = found[1]
                return self
        raise AssertionError(f"it did not start: {self.process.communicate()[1]}")

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self.process:
            self.process.kill()

    def is_healthy(self) -> bool:
        port = httpx.URL(self.url).port
        check = [part.replace(":8000", f":{port}") for part in self._image.dockerfile.health_check]
        command = self._image.command(check, {}, self._data)
        return subprocess.run(command, stderr=subprocess.DEVNULL, timeout=30, check=False).returncode == 0

    def end(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors


@pytest.fixture
def data(dockerfile: Dockerfile, tmp_path: Path) -> Path:
    """A volume, as a new one is: empty, and the image's user's."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    owner, group = map(int, dockerfile.user.split(":"))
    os.chown(folder, owner, group)
    return folder


@pytest.fixture
def environ(upstream: Upstream) -> dict[str, str]:
    token = upstream.add_account().token
    base_url = upstream.base_url
    return {"CHATGLM_BASE_URL": base_url, "CHATGLM_REFRESH_TOKENS": token, "API_KEYS": KEY}


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=30) as client:
        yield client


def status_of(process: int) -> dict[str, str]:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def test_it_chats_as_nobody_in_particular_and_writes_to_its_volume_alone(
    image: Image, data: Path, environ: dict[str, str], http: httpx.Client, upstream: Upstream
) -> None:
    with Container(image, data, **environ) as container:
        client = Client(http, container.url)
        assert client.text("[scene:text chars=9]")
        assert client.stream("[scene:text chars=9]").is_done
        status = status_of(container.process.pid)
        assert set(status["Uid"].split()) == {"10001"}
        assert status["Groups"].strip() == ""
        assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
        assert container.is_healthy()
        assert [path.name for path in data.iterdir() if path.suffix == ".db"] == ["state.db"]
        exit_status, logged = container.end()
        assert exit_status == 0
        assert all(line.startswith('{"time"') for line in logged.splitlines()), logged
        assert not container.is_healthy()
    # The volume is all that a next container has; the token was rotated, and the old one would be refused.
    with Container(image, data, **environ) as container:
        assert Client(http, container.url).text("[scene:text chars=9]")
        wait_until(lambda: upstream.sim.live_conversations() == [])


def test_a_large_file_passes_through_the_volume(
    image: Image, data: Path, environ: dict[str, str], http: httpx.Client
) -> None:
    content = base64.b64encode(os.urandom(2_000_000)).decode()
    file = {
        "type": "file",
        "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{content}"},
    }
    message = {"role": "user", "content": [{"type": "text", "text": "[scene:files]"}, file]}
    with Container(image, data, **environ) as container:
        answer = Client(http, container.url).post("/v1/chat/completions", {"messages": [message]})
        assert answer.status_code == 200, answer.text
        assert " 2000000 " in answer.json()["choices"][0]["message"]["content"]
        assert sorted(path.name for path in data.iterdir() if not path.name.startswith("state.db")) == []


def test_it_runs_several_workers(
    image: Image, data: Path, environ: dict[str, str], http: httpx.Client
) -> None:
    with Container(image, data, "--workers", "2", **environ) as container:
        assert Client(http, container.url).text("[scene:text chars=9]")
        assert container.end()[0] == 0


def test_a_stream_under_way_is_ended_in_time(
    image: Image, data: Path, environ: dict[str, str], http: httpx.Client, upstream: Upstream
) -> None:
    upstream.sim.play("stall s=60")
    with Container(image, data, "--grace", "0.2", **environ) as container:
        body = {"messages": [{"role": "user", "content": "Hello!"}], "stream": True}
        headers = {"authorization": f"Bearer {KEY}"}
        url = f"{container.url}/v1/chat/completions"
        with http.stream("POST", url, json=body, headers=headers) as answer:
            received = ""
            for text in answer.iter_text():
                if "and then" in text:
                    container.process.send_signal(signal.SIGTERM)
                received += text
        assert '"code":"shutting_down"' in received
        assert container.process.wait(10) == 0
    wait_until(lambda: upstream.sim.active_generations() == 0)
    assert upstream.sim.live_conversations() == []


def test_the_image_holds_what_it_runs_compiled_and_nothing_else(image: Image) -> None:
    app = image.root / "app"
    assert {path.name for path in app.iterdir()} == {
        "api",
        "lib",
        "hosts",
        "requirements",
        "scripts",
        "simulator",
    }
    assert {path.name for path in (app / "hosts").iterdir()} == {"box", "__init__.py", "__pycache__"}
    modules = list(app.rglob("*.py"))
    compiled = [path for path in modules if list(path.parent.glob(f"__pycache__/{path.stem}.*.pyc"))]
    assert compiled == modules
    packages = {
        path.name.partition("-")[0] for path in image.root.glob("venv/lib/*/site-packages/*.dist-info")
    }
    assert {"starlette", "httpx", "uvicorn"} <= packages
    assert not packages & {"pip", "pytest", "mypy", "openai"}


@pytest.mark.parametrize(
    "path", [".env", ".git", "tests", ".venv", "docs", "hosts/aws", "state.db", "lib/__pycache__"]
)
def test_no_secret_and_no_history_gets_into_a_build(path: str) -> None:
    assert not is_sent(path)
