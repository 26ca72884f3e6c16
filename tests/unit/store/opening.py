"""Opening a store by its URL, as a person names it."""

from __future__ import annotations

from typing import Any

from lib.store import Store, open_store
from lib.store.settings import StoreSettings, read_store_settings


def settings_of(url: str, **environ: str) -> StoreSettings:
    return read_store_settings({"STORE_URL": url, **environ})


def open_url(url: str, **options: Any) -> Store:
    return open_store(settings_of(url), **options)
