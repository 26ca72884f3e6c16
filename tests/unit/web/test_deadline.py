from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from lib.settings import Settings
from lib.web.deadline import deadline_of
from tests.unit.web.requests import make_request


class Context:
    """What Mangum puts into the scope."""

    def get_remaining_time_in_millis(self) -> int:
        return 7000


def left_s(
    settings: Settings, header: str | None = None, scope: dict[str, Any] | None = None
) -> float | None:
    headers = [] if header is None else [("x-amzn-lambda-context", header)]
    at = deadline_of(make_request(headers=headers, **scope or {}), settings)
    return None if at is None else at - asyncio.get_running_loop().time()


def told(seconds: float) -> str:
    return json.dumps({"request_id": "r", "deadline": int((time.time() + seconds) * 1000)})


async def test_where_nothing_ends_a_request_it_has_no_deadline() -> None:
    assert left_s(Settings()) is None
    assert left_s(Settings(on_lambda=True)) is None


async def test_a_host_that_ends_requests_is_configured() -> None:
    assert left_s(Settings(max_duration_s=300.0)) == pytest.approx(300, abs=0.5)


async def test_an_invocation_tells_its_own_end_by_context_or_header() -> None:
    settings = Settings(on_lambda=True, max_duration_s=900.0)
    assert left_s(settings, scope={"aws.context": Context()}) == pytest.approx(7, abs=0.5)
    assert left_s(settings, told(9)) == pytest.approx(9, abs=0.5)


async def test_the_header_of_a_stranger_is_not_believed_elsewhere() -> None:
    assert left_s(Settings(), told(9)) is None
    assert left_s(Settings(max_duration_s=300.0), told(9)) == pytest.approx(300, abs=0.5)


@pytest.mark.parametrize(
    "header",
    ["", "null", "[]", "{", '{"deadline": "soon"}', '{"deadline": null}', "{}", '{"a":' + "[" * 50_000],
)
async def test_a_header_that_cannot_be_read_says_nothing(header: str) -> None:
    assert left_s(Settings(on_lambda=True, max_duration_s=60.0), header) == pytest.approx(60, abs=0.5)
