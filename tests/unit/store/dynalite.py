"""DynamoDB's imitation, dynalite, as the tests see it."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from lib.store.settings import DynamoSettings, read_store_settings
from lib.store.sigv4 import Credentials, sign

REGION = "eu-central-1"
CREDENTIALS = Credentials("AKIDEXAMPLE", "secret/with+signs", "session/token+==")

TOLERANCE = """
process.on('uncaughtException', (error) => {
  if (error.code === 'ECONNRESET') return
  console.error(error)
  process.exit(1)
})
"""
"""dynalite 4 throws the error of a request that is broken off, and so ends itself; DynamoDB does not."""


class Dynalite:
    """DynamoDB's imitation, on 127.0.0.1; every table made here is what serverless.yml makes."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._tables = 0

    def environ(self) -> dict[str, str]:
        """Make a table; return the environment of a function that has it as its store."""
        self._tables += 1
        name = f"glm-gateway-prod.State_{self._tables}"
        table = {
            "TableName": name,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "B"}],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        }
        self.call("CreateTable", table)
        give_up_at = time.monotonic() + 10
        while self.call("DescribeTable", {"TableName": name})["Table"]["TableStatus"] != "ACTIVE":
            assert time.monotonic() < give_up_at
        return {
            "STORE_URL": f"dynamodb://{name}?region={REGION}",
            "AWS_ACCESS_KEY_ID": CREDENTIALS.key_id,
            "AWS_SECRET_ACCESS_KEY": CREDENTIALS.secret,
            "AWS_SESSION_TOKEN": CREDENTIALS.session_token,
            "AWS_ENDPOINT_URL_DYNAMODB": self.endpoint,
        }

    def table(self) -> DynamoSettings:
        settings = read_store_settings(self.environ())
        assert isinstance(settings, DynamoSettings)
        return settings

    def call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        headers = {
            "host": httpx.URL(self.endpoint).netloc.decode(),
            "content-type": "application/x-amz-json-1.0",
            "x-amz-target": f"DynamoDB_20120810.{operation}",
        }
        body = msgspec.json.encode(request)
        signed = sign(headers, body, CREDENTIALS, region=REGION, service="dynamodb", now=1_790_000_000.0)
        answer = httpx.post(self.endpoint, content=body, headers=signed, trust_env=False)
        assert answer.status_code == 200, answer.text
        return msgspec.json.decode(answer.content, type=dict[str, Any])


@contextmanager
def running_dynalite(program: Path, folder: Path) -> Iterator[Dynalite]:
    """Run the program, which must not end by itself; its files are in the folder."""
    with socket.create_server(("127.0.0.1", 0)) as free:  # dynalite takes 0 for its default port
        port = free.getsockname()[1]
    tolerance = folder / "tolerance.js"
    tolerance.write_text(TOLERANCE)
    command = ["node", "--require", str(tolerance), str(program), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--createTableMs", "0"]
    with (
        (folder / "dynalite.log").open("wb") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as server,
    ):
        try:
            assert server.stdout is not None
            assert "listening" in server.stdout.readline()
            yield Dynalite(f"http://127.0.0.1:{port}")
            assert server.poll() is None, (folder / "dynalite.log").read_text()
        finally:
            server.kill()
