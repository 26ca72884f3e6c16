"""Names are resolved in threads of their own: names that never answer hold up nothing else."""

from __future__ import annotations

import asyncio
from threading import Event

import pytest

from lib.files.lookups import Lookups, ask_system
from lib.tasks import Threads


def threads(max_waiting: int = 4) -> Threads:
    return Threads("test", threads=2, max_waiting=max_waiting)


class Names:
    """A system that knows one name, does not know others, and says nothing about the rest."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gate = Event()

    def ask(self, host: str, _: int) -> list[str]:
        self.asked.append(host)
        if host.startswith("silent"):
            self.gate.wait(10)
        if host == "known.example":
            return ["1.1.1.1"]
        raise OSError("unknown")


async def test_names_that_never_answer_leave_the_loops_own_threads_free() -> None:
    names = Names()
    lookups = Lookups(names.ask, threads=threads(max_waiting=2))
    waiting = [asyncio.ensure_future(lookups.resolve(f"silent{n}", 80)) for n in range(40)]
    await asyncio.wait(waiting[4:])
    assert await asyncio.to_thread(lambda: "free") == "free"
    crowded = [task for task in waiting if task.done()]
    assert len(crowded) == 36  # Two are under way, two wait.
    assert all(isinstance(task.exception(), TimeoutError) for task in crowded)
    names.gate.set()
    failures = await asyncio.gather(*waiting[:4], return_exceptions=True)
    assert [str(failure) for failure in failures] == ["unknown"] * 4
    assert await lookups.resolve("known.example", 443) == ["1.1.1.1"]


async def test_a_name_that_failed_is_not_asked_for_again_for_a_minute() -> None:
    names, now = Names(), 100.0
    lookups = Lookups(names.ask, threads=threads(), now=lambda: now)
    for name in ("a.example", "a.example"):
        with pytest.raises(OSError, match=r"unknown|just now"):
            await lookups.resolve(name, 80)
    assert names.asked == ["a.example"]
    now += 61
    with pytest.raises(OSError, match="unknown"):
        await lookups.resolve("a.example", 80)
    assert names.asked == ["a.example"] * 2


async def test_a_failure_that_comes_after_the_request_has_gone_is_remembered() -> None:
    names = Names()
    lookups = Lookups(names.ask, threads=threads())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await lookups.resolve("silent", 80)
    late = asyncio.ensure_future(lookups.resolve("silent", 80))
    await asyncio.sleep(0)
    names.gate.set()
    with pytest.raises(OSError, match="unknown"):
        await late
    assert names.asked == ["silent"] * 2
    with pytest.raises(OSError, match="just now"):
        await lookups.resolve("silent", 80)
    assert names.asked == ["silent"] * 2


async def test_the_remembered_failures_are_bounded() -> None:
    names = Names()
    lookups = Lookups(names.ask, threads=threads())
    for number in range(1_025):
        with pytest.raises(OSError, match="unknown"):
            await lookups.resolve(f"{number}.example", 80)
    with pytest.raises(OSError, match="unknown"):
        await lookups.resolve("0.example", 80)


async def test_a_name_that_waits_for_a_thread_is_dropped_with_its_request() -> None:
    names = Names()
    lookups = Lookups(names.ask, threads=threads())
    waiting = [asyncio.ensure_future(lookups.resolve(f"silent{n}", 80)) for n in range(4)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    names.gate.set()
    assert await lookups.resolve("known.example", 80) == ["1.1.1.1"]
    assert len(names.asked) == 3


def test_the_system_is_asked() -> None:
    assert "127.0.0.1" in ask_system("127.0.0.1", 80)
