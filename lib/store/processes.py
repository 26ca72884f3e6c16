"""The processes of one machine: a mark names its writer, and tells the others whether that still runs."""

from __future__ import annotations

import os
from pathlib import Path


class Processes:
    """For a store of many machines: a mark tells nothing of its writer."""

    def mark(self, token: str) -> str:
        return token

    def is_gone(self, _mark: str) -> bool:
        return False

    def is_there(self, _mark: str) -> bool:
        return False


class LocalProcesses(Processes):
    """For a store that only the processes of one machine share. Without /proc a mark tells nothing."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._machine = _machine(proc)
        """It names this start of the machine, and the container: in each of them the numbers begin anew."""
        self._own: tuple[int, str | None] = 0, None
        """This process and its start. Each chat writes a mark, and reading /proc costs the most of it."""

    def mark(self, token: str) -> str:
        pid = os.getpid()
        if self._own[0] != pid or not self._own[1]:  # for the first time, or in a copy of the process
            self._own = pid, self._started_at(pid)
        started = self._own[1]
        return f"{token}@{self._machine}:{pid}:{started}" if self._machine and started else token

    def is_gone(self, mark: str) -> bool:
        """Return True if the writer of the mark has certainly ended."""
        return self._still_runs(mark) is False

    def is_there(self, mark: str) -> bool:
        """Return True if the writer of the mark certainly exists. It may be stopped."""
        return self._still_runs(mark) is True

    def _still_runs(self, mark: str) -> bool | None:
        """Return None for a mark of another machine. The number of a process that has ended may belong to
        another one by now: the time of the start tells them apart."""
        _, _, writer = mark.partition("@")
        machine, _, process = writer.partition(":")
        number, _, started = process.partition(":")
        if not machine or machine != self._machine or not number.isdecimal():
            return None
        running = self._started_at(int(number))
        return None if running is None else running == started

    def _started_at(self, pid: int) -> str | None:
        """Return the start of a process in clock ticks since the boot; empty if there is none, or a dead one.

        Return None if the system does not tell: a process that has no file left to open must not take all
        others for dead.

        The fields come after the name, and that may hold spaces and parentheses (proc_pid_stat(5)): the first
        is the state, the 20th the start.
        """
        try:
            stat = (self._proc / str(pid) / "stat").read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return ""
        except OSError:
            return None
        fields = stat.rpartition(")")[2].split()
        return fields[19] if len(fields) > 19 and fields[0] not in "ZX" else ""


def _machine(proc: Path) -> str:
    try:
        boot = (proc / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{(proc / 'self/ns/pid').stat().st_ino}"
    except OSError:
        return ""
