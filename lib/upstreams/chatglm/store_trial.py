"""Try the store before the server starts: the first request that needs it would be refused."""

from __future__ import annotations

import secrets

from lib.errors import ConfigurationError
from lib.store import StoreError, open_store
from lib.store.settings import SqliteSettings, StoreSettings
from lib.store.sqlite import SqliteBusy


async def try_store(settings: StoreSettings) -> str | None:
    """Return a note if the store fails and may work later. Raise ConfigurationError if it cannot work."""
    problem = await _problem(settings)
    if problem is None:
        return None
    if isinstance(settings, SqliteSettings) and not isinstance(problem, SqliteBusy):
        raise ConfigurationError(
            f"STORE_URL names a file that cannot keep anything ({problem}). A rotated refresh token would be "
            "lost. Name a file that this user can write."
        )
    return (
        f"STORE_URL ({settings.scheme}) does not work: {problem}. Until it does, no account's token is "
        "refreshed for the first time."
    )


async def _problem(settings: StoreSettings) -> Exception | None:
    """Write a value and read it."""
    store, value = open_store(settings), secrets.token_hex(8)
    try:
        await store.put("probe", value, ttl_s=60.0)
        return None if await store.get("probe") == value else StoreError("it does not keep what is written")
    except (StoreError, OSError) as error:
        return error
    finally:
        await store.close()
