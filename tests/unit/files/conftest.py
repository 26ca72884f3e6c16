from __future__ import annotations

from tempfile import SpooledTemporaryFile
from typing import Any

import pytest


@pytest.fixture
def opened_files(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Give the temporary files that will be opened, as they are."""
    opened: list[Any] = []

    def make(**options: Any) -> Any:
        opened.append(SpooledTemporaryFile(**options))  # noqa: SIM115 - whoever opens it is what is tested
        return opened[-1]

    monkeypatch.setattr("lib.files.spool.SpooledTemporaryFile", make)
    return opened
