"""Marks of holders, and a holder whose process has ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lib.store.hold import Hold
from lib.store.processes import LocalProcesses, Processes
from lib.store.seal import Place
from lib.store.shared import SharedState
from tests.unit.upstreams.chatglm.accounts.fakes import Clock, FaultyStore

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it needs Linux's /proc"),
]

PLACE = Place("lease:a", record="account:a")
MARK_SOMETHING = (
    "from lib.store.processes import LocalProcesses; print(LocalProcesses().mark('theirs'), end='')"
)


@pytest.fixture(scope="module")
def mark_of_the_dead() -> str:
    """Give the mark of a process that has ended."""
    command = [sys.executable, "-c", MARK_SOMETHING]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def hold(store: FaultyStore, clock: Clock, processes: Processes) -> Hold:
    return Hold(SharedState(store, now=clock, processes=processes), PLACE, ttl_s=45, now=clock)


def test_a_mark_tells_whether_its_writer_runs(mark_of_the_dead: str) -> None:
    processes = LocalProcesses()
    mark = processes.mark("ours")
    assert mark.startswith("ours@")
    assert (processes.is_there(mark), processes.is_gone(mark)) == (True, False)
    assert (processes.is_there(mark_of_the_dead), processes.is_gone(mark_of_the_dead)) == (False, True)


def test_a_copy_of_the_process_marks_with_its_own_start() -> None:
    processes = LocalProcesses()
    processes.mark("ours")
    (told, tell), (ended, end) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(end)
        os.write(tell, processes.mark("theirs").encode())
        os.read(ended, 1)  # until the test closes the other end
        os._exit(0)
    try:
        mark = os.read(told, 1000).decode()
        assert processes.is_there(mark)
    finally:
        os.close(end)
        os.waitpid(child, 0)
    assert processes.is_gone(mark)
    for pipe in (told, tell, ended):
        os.close(pipe)


def test_a_process_that_may_not_be_looked_at_is_neither_there_nor_gone(tmp_path: Path) -> None:
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("boot")
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/pid").touch()
    own = tmp_path / str(os.getpid())
    own.mkdir()
    (own / "stat").write_text(f"{os.getpid()} (a b) R" + " 7" * 30)
    processes = LocalProcesses(tmp_path)
    mark = processes.mark("ours")
    assert (processes.is_there(mark), processes.is_gone(mark)) == (True, False)
    (own / "stat").unlink()
    assert (processes.is_there(mark), processes.is_gone(mark)) == (False, True)
    (own / "stat").mkdir()  # Reading it fails, as with too many open files.
    assert (processes.is_there(mark), processes.is_gone(mark)) == (False, False)


def test_a_number_that_belongs_to_another_process_by_now_is_gone() -> None:
    mark = LocalProcesses().mark("ours")
    writer, _, started = mark.rpartition(":")
    assert LocalProcesses().is_gone(f"{writer}:{int(started) - 1}")


def test_a_stopped_process_is_there() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", MARK_SOMETHING + "; input()"], stdin=subprocess.PIPE
    ) as other:
        try:
            writer, _, _ = LocalProcesses().mark("").partition(f":{os.getpid()}:")
            stat = Path(f"/proc/{other.pid}/stat").read_text()
            started = stat.rpartition(")")[2].split()[19]
            other.send_signal(signal.SIGSTOP)
            assert LocalProcesses().is_there(f"{writer}:{other.pid}:{started}")
        finally:
            other.kill()


@pytest.mark.parametrize("mark", ["", "0a1b", "0a1b@", "0a1b@elsewhere/1:1:1", "0a1b@a:b:c", "@@@", "a:b:c"])
def test_a_mark_of_another_machine_tells_nothing(mark: str) -> None:
    processes = LocalProcesses()
    assert (processes.is_there(mark), processes.is_gone(mark)) == (False, False)


def test_without_proc_a_mark_tells_nothing(tmp_path: Path) -> None:
    processes = LocalProcesses(tmp_path)
    assert processes.mark("ours") == "ours"
    assert (processes.is_there("ours@:1:1"), processes.is_gone("ours@:1:1")) == (False, False)


async def test_the_hold_of_a_process_that_has_ended_is_taken_over(mark_of_the_dead: str) -> None:
    clock = Clock()
    store = FaultyStore(now=clock)
    await store.put(PLACE.name, mark_of_the_dead, ttl_s=45)
    ours, theirs = hold(store, clock, LocalProcesses()), hold(store, clock, LocalProcesses())
    assert not (await ours.take()).is_done
    assert not (await theirs.take()).is_done
    assert (ours.can_take_over, theirs.can_take_over) == (True, True)
    assert (await ours.take()).is_done
    assert not (await theirs.take()).is_done  # one of the two
    assert (theirs.can_take_over, theirs.is_in_living_hands) == (False, True)
    assert await store.get(PLACE.name) == ours.mark


async def test_a_store_of_many_machines_lets_no_hold_be_taken_over(mark_of_the_dead: str) -> None:
    clock = Clock()
    store = FaultyStore(now=clock)
    await store.put(PLACE.name, mark_of_the_dead, ttl_s=45)
    ours = hold(store, clock, Processes())
    for _ in range(2):
        assert not (await ours.take()).is_done
        assert (ours.can_take_over, ours.is_in_living_hands) == (False, False)
    clock.time += 45
    assert (await ours.take()).is_done


async def test_prolonging_gives_the_whole_time_again_and_expires_all_the_same() -> None:
    clock = Clock()
    store = FaultyStore(now=clock)
    ours = hold(store, clock, Processes())
    assert (await ours.take()).is_done
    clock.time += 40
    assert await ours.prolong() is True
    clock.time += 40
    assert await store.get(PLACE.name) == ours.mark
    clock.time += 5
    assert await ours.prolong() is False
    assert await ours.retake() is True


async def test_with_a_failing_store_a_hold_excludes_no_other_process() -> None:
    clock = Clock()
    store = FaultyStore(now=clock)
    ours, theirs = hold(store, clock, Processes()), hold(store, clock, Processes())
    assert (await ours.take()).is_done
    assert not (await theirs.take()).is_done
    assert await theirs.prolong() is False
    store.is_lost = True
    assert (await theirs.take()).is_done
    assert await ours.give_up() is False
