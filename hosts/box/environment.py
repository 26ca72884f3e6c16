"""The server's environment: the place of its store."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path

from lib.errors import ConfigurationError
from lib.settings import Settings


def use_local_store(environ: MutableMapping[str, str]) -> None:
    """Keep rotated tokens over a restart: in the owner's state folder, unless STORE_URL is set."""
    if environ.get("STORE_URL"):
        return
    state = Path(environ.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():  # It is not set, or relative. The XDG specification ignores a relative one.
        state = Path.home() / ".local" / "state"
    folder = state / "glm-gateway"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"The folder of the store, {folder}, cannot be made ({error.strerror}). "
            "Set STORE_URL or XDG_STATE_HOME."
        ) from error
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
