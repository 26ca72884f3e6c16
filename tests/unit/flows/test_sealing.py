"""What a store that others run gets to see of everything that this gateway does."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.chat.caller import Caller
from lib.chat.media import Attempt, VideoRequest
from lib.errors import Throttled
from lib.store.seal import VERSION
from lib.upstreams.chatglm.check import check_tokens
from lib.upstreams.chatglm.videos.jobs import look_at_video, make_video
from lib.upstreams.choose import close_services
from tests.conftest import SimulatedAccount, Upstream
from tests.unit.conftest import Flow
from tests.unit.store.redis_server import NOT_INSTALLED, RedisServer, find_redis, running_redis


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    program = find_redis() or pytest.skip(NOT_INSTALLED)
    with running_redis(program, tmp_path) as server:
        yield server


def entries(server: RedisServer) -> dict[bytes, bytes]:
    """Take the coats off that hide nothing: the base64 of the store, and that of the seal."""
    names = [name for name in server.call("KEYS", "*") if b"probe" not in name]
    return {name: base64.b64decode(base64.b64decode(server.call("GET", name))) for name in names}


async def test_everything_that_is_kept_outside_is_sealed(
    flow: Flow, account: SimulatedAccount, upstream: Upstream, redis_server: RedisServer
) -> None:
    upstream.sim.video_poll_s = 0.0
    flow.configure(store=redis_server.settings)
    caller = Caller((account.token,), is_owner=False)
    seen: dict[bytes, bytes] = {}

    async with flow.open([account], "[scene:slow first=0 gap=0.01 count=20]"):
        seen |= entries(redis_server)  # a lease
    await check_tokens((account.token,), flow.gateway)
    made = await make_video(
        flow.gateway,
        VideoRequest(prompt="[scene:video] a cat", model="cogvideox", wait_s=0),
        flow.calling(caller),
        attempt=Attempt(idempotency_key="my order"),
    )
    await look_at_video(flow.gateway, made.id, flow.calling(caller))
    upstream.sim.play("throttled_429")
    with pytest.raises(Throttled):
        await flow.ask([account])
    seen |= entries(redis_server)

    assert len(seen) >= 6  # chain, lease, cool-down, check, video order, video, turn to ask
    assert {value[:1] for value in seen.values()} == {VERSION}
    known = upstream.sim.account(account.uid)
    clear = [account.token, account.uid, account.label, "refresh", "access", "until", "video", "begun"]
    clear += [known.refresh_token, *known.access_tokens]
    for name, value in seen.items():
        assert name.startswith(b"glm-gateway:")
        assert not [text for text in clear if text.encode() in value]
        assert not [text for text in clear if text.encode() in name.removeprefix(b"glm-gateway:")]


async def test_what_was_tampered_with_is_absent_and_the_request_is_served(
    flow: Flow, account: SimulatedAccount, upstream: Upstream, redis_server: RedisServer
) -> None:
    flow.configure(store=redis_server.settings)
    upstream.sim.account(account.uid).strict_rotation = False
    await flow.ask([account])
    await close_services()
    for name in redis_server.call("KEYS", "*"):
        redis_server.call("SET", name, base64.b64encode(b"AQ" + b"x" * 60).decode(), "PX", 60_000)
    answer = await flow.ask([account])
    assert answer.text
    assert upstream.count("user/refresh") == 2  # the chain could not be read, and began anew
