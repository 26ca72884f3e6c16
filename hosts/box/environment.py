"""The server's environment: the place of its store."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from pathlib import Path

from lib.errors import ConfigurationError
from lib.settings import Settings
from lib.store import StoreError, open_store
from lib.store.settings import SqliteSettings, StoreSettings


def use_local_store(environ: MutableMapping[str, str]) -> None:
    """Keep rotated tokens over a restart: in the owner's state folder, unless STORE_URL is set."""
    if environ.get("STORE_URL"):
        return
    state = Path(environ.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():  # It is not set, or relative. The XDG specification ignores a relative one.
        state = Path.home() / ".local" / "state"
    folder = state / "glm-gateway"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    environ["STORE_URL"] = f"sqlite:///{folder / 'state.db'}"


def require_workers(system: str) -> None:
    """Raise ConfigurationError if several processes cannot serve on this system, an `os.name`."""
    if system == "nt":
        raise ConfigurationError("--workers does not work on Windows. One process is enough for one owner.")


def require_shared_store(settings: Settings) -> None:
    """Raise ConfigurationError if each of several processes would have a store of its own."""
    if settings.store.scheme == "memory":
        raise ConfigurationError(
            "--workers needs a store that the processes share, but STORE_URL is memory://. "
            "Do not set STORE_URL, or name a file: sqlite:///state.db"
        )


def tried_store(settings: Settings) -> list[str]:
    """Write to the store before the server serves. Raise ConfigurationError if its file cannot work.

    A store behind the network may come up later than this server: it gets a note.
    """
    problem = asyncio.run(_problem_of(settings.store))
    if problem is None:
        return []
    if isinstance(settings.store, SqliteSettings):
        raise ConfigurationError(
            f"STORE_URL names a file that cannot keep anything ({problem}). A rotated refresh token would be "
            "lost. Name a file that this user can write."
        )
    note = (
        f"STORE_URL ({settings.store.scheme}) does not work: {problem}. Until it does, no account's token is "
        "refreshed for the first time."
    )
    return [note]


async def _problem_of(settings: StoreSettings) -> str | None:
    store = open_store(settings)
    try:
        await store.put("probe", "start", ttl_s=60.0)
    except (StoreError, OSError) as error:
        return str(error)
    finally:
        await store.close()
    return None
