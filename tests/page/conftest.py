"""A browser for all tests, and for each a page of a gateway with one account and a lasting store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.conftest import SimulatedAccount
from tests.page.browsing import Tab, open_browser
from tests.support.client import KEY
from tests.support.live import LiveGateway

OpenTab = Callable[..., Tab]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture
def lasting(gateway: LiveGateway, environment: pytest.MonkeyPatch, tmp_path: Path) -> LiveGateway:
    """Give a gateway with a key, a store that outlives the process, and no account."""
    environment.setenv("API_KEYS", KEY)
    environment.setenv("STORE_URL", f"sqlite:///{tmp_path / 'state.db'}")
    return gateway


@pytest.fixture
def served(lasting: LiveGateway, environment: pytest.MonkeyPatch, account: SimulatedAccount) -> LiveGateway:
    """Give the same with one account in its settings."""
    environment.setenv("CHATGLM_REFRESH_TOKENS", account.token)
    return lasting


@pytest.fixture
def open_tab(browser: Browser, served: LiveGateway) -> Iterator[OpenTab]:
    with ExitStack() as stack:

        def open_one(url: str = served.url, **context: Any) -> Tab:
            tab = Tab(browser, url, **context)
            stack.callback(tab.close)
            return tab

        yield open_one


@pytest.fixture
def tab(open_tab: OpenTab) -> Tab:
    return open_tab()
