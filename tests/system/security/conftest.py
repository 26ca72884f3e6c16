"""The gateway under both of uvicorn's parsers: httptools, as hosts/box has it, and h11, as on AWS Lambda."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import SimulatedAccount
from tests.support.client import KEY
from tests.support.live import LiveGateway
from tests.support.waiting import wait_until


class H11Gateway(LiveGateway):
    def __init__(self) -> None:
        super().__init__()
        self._server.config.http = "h11"


@pytest.fixture(scope="session", params=["httptools", "h11"])
def parsed_by(request: pytest.FixtureRequest, live_gateway: LiveGateway) -> Iterator[LiveGateway]:
    if request.param == "httptools":
        yield live_gateway
        return
    with H11Gateway() as live:
        yield live


@pytest.fixture
def either(
    parsed_by: LiveGateway, account: SimulatedAccount, environment: pytest.MonkeyPatch
) -> Iterator[LiveGateway]:
    """Give the gateway under one parser and then the other, with an account behind the key."""
    environment.setenv("CHATGLM_REFRESH_TOKENS", account.token)
    environment.setenv("API_KEYS", KEY)
    yield parsed_by
    wait_until(parsed_by.is_idle, 10, "no lease is held and no task is left")
    assert parsed_by.complaints == []


class Answers:
    """What came over one connection, taken apart: status, headers, body of each answer."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.all: list[tuple[int, dict[str, list[str]], bytes]] = []
        while raw:
            head, _, rest = raw.partition(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            assert first.startswith("HTTP/1."), first[:80]
            headers: dict[str, list[str]] = {}
            for line in lines:
                name, colon, value = line.partition(": ")
                assert colon, line[:80]
                headers.setdefault(name.lower(), []).append(value)
            body, raw = _body(headers, rest)
            self.all.append((int(first.split(" ")[1]), headers, body))

    @property
    def statuses(self) -> list[int]:
        return [status for status, _, _ in self.all]


def _body(headers: dict[str, list[Any]], rest: bytes) -> tuple[bytes, bytes]:
    if "chunked" in headers.get("transfer-encoding", []):
        body = b""
        while True:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size, 16)
            body, rest = body + rest[:length], rest[length + 2 :]
            if not length:
                return body, rest
    length = int(headers.get("content-length", [len(rest)])[0])
    return rest[:length], rest[length:]
