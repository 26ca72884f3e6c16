"""`osls offline`: real HTTP in front of the Mangum functions, and the official SDK as the client."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from openai import APIStatusError, AuthenticationError, OpenAI

from tests.conftest import Upstream
from tests.support.waiting import wait_until
from tests.system.deploy.aws.conftest import World, copy_service, without_aws

START_TIMEOUT_S = 60.0


@pytest.fixture
def base_url(world: World, builder: Path, tmp_path: Path) -> Iterator[str]:
    copy_service(world.package.project, tmp_path)
    config = (tmp_path / "serverless.yml").read_text()
    # It cannot resolve a reference to the table.
    config, replaced = re.subn(r"STORE_URL: .*", "STORE_URL: ${env:STORE_URL}", config)
    assert replaced == 1
    (tmp_path / "serverless.yml").write_text(config + "plugins: [serverless-offline]\n")
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = [str(listener.getsockname()[1]) for listener in (one, two)]
    environ = without_aws() | world.environ("models")
    environ["PATH"] = f"{world.tools}/runtime/bin:{environ['PATH']}"  # python3 is found there
    environ["PYTHONPATH"] = str(world.package.folders["buffered"])  # it does not unpack a zip for Python
    environ["SLS_TELEMETRY_DISABLED"] = "1"
    log = tmp_path / "offline.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                builder / ".bin/osls",
                "offline",
                *("--httpPort", ports[0], "--lambdaPort", ports[1], "--host", "127.0.0.1"),
                *("--localEnvironment",),
            ],
            cwd=tmp_path,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{ports[0]}/prod"
    try:
        wait_until(lambda: b"Server ready" in log.read_bytes(), START_TIMEOUT_S, "osls offline is ready")
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
        print(log.read_text())


def test_the_official_sdk_reads_the_models_below_the_stages_path(base_url: str, upstream: Upstream) -> None:
    account = upstream.add_account()
    with (
        httpx.Client(trust_env=False, timeout=30) as http,
        OpenAI(base_url=f"{base_url}/v1", api_key=account.token, max_retries=0, timeout=30) as client,
    ):
        names = [model.id for model in client.models.list()]
        assert "glm-5.3" in names
        assert client.models.retrieve("glm-5.3").id == "glm-5.3"
        with pytest.raises(AuthenticationError) as refused:
            client.with_options(api_key="wrong").models.list()
        assert refused.value.code == "invalid_api_key"
        with pytest.raises(APIStatusError) as missing:
            client.models.retrieve("api/glm-5.3")  # the official API has no key here
        assert missing.value.status_code == 404

        assert http.get(f"{base_url}/ping").text == "pong"
        page = http.get(f"{base_url}/")
        assert page.headers["content-type"].startswith("text/html")
        assert http.get(f"{base_url}/health").json()["store"] == "dynamodb"
        checked = http.post(f"{base_url}/token/check", json={"token": account.token})
        assert checked.status_code == 200, checked.text
