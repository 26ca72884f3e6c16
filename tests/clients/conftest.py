"""No client leaves this machine."""

from __future__ import annotations

import pytest

from tests.clients.offline import OFFLINE


@pytest.fixture(autouse=True)
def offline(environment: pytest.MonkeyPatch) -> None:
    for name, value in OFFLINE.items():
        environment.setenv(name, value)
