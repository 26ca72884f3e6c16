"""A name with several addresses: the first that takes the connection wins, and no other socket stays open."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.transport.sockets import Address, first_connected, in_turn, open_socket
from tests.unit.transport.scripted import turns


@pytest.fixture
def taking() -> Iterator[Address]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield socket.AF_INET, listener.getsockname()


@pytest.fixture
def refusing() -> Address:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return socket.AF_INET, listener.getsockname()


@pytest.fixture
def silent() -> Iterator[Address]:
    """Give an address that does not answer: Linux drops what does not fit into a listener's queue."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, socket.socket() as first:
        first.connect(listener.getsockname())
        yield socket.AF_INET, listener.getsockname()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_the_next_address_is_tried_after_a_refusal(refusing: Address, taking: Address) -> None:
    with await first_connected([refusing, taking], head_start_s=60) as connected:
        assert connected.getpeername() == taking[1]


async def test_the_next_address_is_tried_beside_one_that_does_not_answer(
    silent: Address, refusing: Address, taking: Address
) -> None:
    before = open_files()
    with await first_connected([silent, refusing, taking], head_start_s=0.01) as connected:
        assert connected.getpeername() == taking[1]
        await turns(5)
        assert open_files() == before + 1


async def test_the_first_address_is_the_systems_choice(taking: Address) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        connected = await first_connected([taking, (socket.AF_INET, other.getsockname())])
        with connected:
            assert connected.getpeername() == taking[1]


async def test_the_first_failure_is_raised_if_all_fail(refusing: Address) -> None:
    unroutable: Address = (socket.AF_INET, ("255.255.255.255", 9))
    with pytest.raises(ConnectionRefusedError):
        await first_connected([refusing, unroutable], head_start_s=0.01)


@pytest.mark.parametrize("is_slow", [True, False])
async def test_a_race_that_is_cancelled_leaves_no_socket(
    silent: Address, taking: Address, *, is_slow: bool
) -> None:
    addresses = [silent, taking] if is_slow else [taking, silent]
    for turn in range(20):
        before = open_files()
        racing = asyncio.ensure_future(first_connected(addresses, head_start_s=0.0))
        await turns(turn)
        racing.cancel()
        await asyncio.wait({racing})
        if not racing.cancelled():
            racing.result().close()
        await turns(5)
        assert (turn, open_files()) == (turn, before)


def test_families_take_turns() -> None:
    four, six = socket.AF_INET, socket.AF_INET6
    addresses: list[Address] = [(six, ("::1",)), (six, ("::2",)), (six, ("::3",)), (four, ("1.1.1.1",))]
    assert [address[0] for _, address in in_turn(addresses)] == ["::1", "1.1.1.1", "::2", "::3"]


async def test_a_name_is_resolved(taking: Address) -> None:
    with await open_socket("localhost", taking[1][1]) as connected:
        assert connected.getpeername() == taking[1]
