"""The gateway as a process of its own: its memory, and all that it ever says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from lib import settings
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]
START_TIMEOUT_S = 30.0
END_TIMEOUT_S = 45.0


class Process:
    """`with Process(folder, …) as process:` runs hosts/box until the block ends; `said` is its output."""

    def __init__(self, folder: Path, *arguments: str, **environ: str) -> None:
        self._said = folder / "said"
        inherited = {name: text for name, text in os.environ.items() if name not in settings._NAMES}
        with self._said.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hosts.box", "--port", "0", *arguments],
                cwd=folder,
                env={
                    **inherited,
                    "PYTHONPATH": str(ROOT),
                    "XDG_STATE_HOME": str(folder),
                    "no_proxy": "127.0.0.1",
                    **environ,
                },
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.url = ""

    @property
    def said(self) -> str:
        return self._said.read_text(encoding="utf-8", errors="backslashreplace")

    @property
    def peak_bytes(self) -> int:
        """The most memory that it ever had (Linux)."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024

    def forget_peak(self) -> None:
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")

    def end(self) -> int:
        self._process.terminate()
        return self._process.wait(END_TIMEOUT_S)

    def __enter__(self) -> Self:
        wait_until(self._serves, START_TIMEOUT_S, "it serves")
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self.end()

    def _serves(self) -> bool:
        assert self._process.poll() is None, f"it ended: {self.said}"
        found = re.search(r"(http://\S+)/v1\n", self.said)
        self.url = found[1] if found else ""
        return found is not None
