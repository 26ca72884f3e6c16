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
from openai import AuthenticationError, BadRequestError, OpenAI

from simulator.official.app import Official
from simulator.official.server import OfficialServer
from tests.conftest import Upstream
from tests.support.client import KEY
from tests.support.waiting import wait_until
from tests.system.deploy.aws.conftest import World, copy_service, without_aws

START_TIMEOUT_S = 60.0


@pytest.fixture
def base_url(
    world: World, builder: Path, tmp_path: Path, official: Official, official_server: OfficialServer
) -> Iterator[str]:
    """Give the address of the owner's gateway, with a key of the official API."""
    copy_service(world.package.project, tmp_path)
    config = (tmp_path / "serverless.yml").read_text()
    # It cannot resolve a reference to the table.
    config, replaced = re.subn(r"STORE_URL: .*", "STORE_URL: ${env:STORE_URL}", config)
    assert replaced == 1
    (tmp_path / "serverless.yml").write_text(config + "plugins: [serverless-offline]\n")
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = [str(listener.getsockname()[1]) for listener in (one, two)]
    environ = without_aws() | world.environ(
        "embeddings",
        API_KEYS=KEY,
        GLM_API_KEYS=official.add_key(),
        GLM_API_BASE_URL=official_server.base_url,
    )
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


def test_the_official_sdk_reads_vectors_below_the_stages_path(base_url: str, upstream: Upstream) -> None:
    account = upstream.add_account()
    with (
        httpx.Client(trust_env=False, timeout=30) as http,
        OpenAI(base_url=f"{base_url}/v1", api_key=KEY, max_retries=0, timeout=30) as client,
    ):
        made = client.embeddings.create(model="embedding-3", input=["a", "b"], dimensions=256)
        assert [len(entry.embedding) for entry in made.data] == [256, 256]
        with pytest.raises(AuthenticationError) as refused:
            client.with_options(api_key="wrong").embeddings.create(model="embedding-3", input="a")
        assert refused.value.code == "invalid_api_key"
        with pytest.raises(BadRequestError) as empty:
            client.embeddings.create(model="embedding-3", input=[])
        assert empty.value.param == "input"

        assert http.get(f"{base_url}/ping").text == "pong"
        page = http.get(f"{base_url}/")
        assert page.headers["content-type"].startswith("text/html")
        assert http.get(f"{base_url}/health").json()["store"] == "dynamodb"
        owner = {"Authorization": f"Bearer {KEY}"}
        checked = http.post(f"{base_url}/token/check", headers=owner, json={"token": account.token})
        assert checked.status_code == 200, checked.text
