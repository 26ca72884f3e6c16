"""A browser for all tests, and for each a page of a gateway with one account and a lasting store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route

from lib.web.page_files import HEADERS, File, read_page
from tests.conftest import SimulatedAccount, Upstream
from tests.page.browsing import Tab, open_browser
from tests.support.client import KEY
from tests.support.live import LiveGateway

OpenTab = Callable[..., Tab]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="session")
def paper(browser: Browser) -> Iterator[Page]:
    """Give a page with all files of the page and their headers, without a gateway behind it."""
    files = read_page()
    context = browser.new_context()

    def serve(route: Route) -> None:
        name = urlsplit(route.request.url).path.removeprefix("/")
        file = files.file(name) if name else File(files.document(), "text/html")
        route.fulfill(status=200, headers={**HEADERS, "content-type": file.media_type}, body=file.body)

    context.route("http://page.test/**", serve)
    page = context.new_page()
    page.goto("http://page.test/")
    yield page
    context.close()


@pytest.fixture
def lasting(
    gateway: LiveGateway, environment: pytest.MonkeyPatch, tmp_path: Path, upstream: Upstream
) -> LiveGateway:
    """Give a gateway with a key, a store that outlives the process, and no account."""
    environment.setenv("API_KEYS", KEY)
    # The simulator serves its own pictures.
    environment.setattr(upstream.sim, "file_base", upstream.base_url.removesuffix("/chatglm"))
    environment.setenv("FETCH_ALLOW_HOSTS", urlsplit(upstream.base_url).netloc)
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
