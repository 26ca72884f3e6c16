"""Apart from backends.py, so that the processes of a test need not import what that does."""

from __future__ import annotations

from lib.store import Store


def patient(store: Store) -> Store:
    """Let it wait: a slow machine is no broken server, and a test of what is atomic wants no repetitions."""
    for name in ("call_timeout_s", "attempt_timeout_s", "kept_timeout_s", "busy_timeout_s"):
        if hasattr(store, name):
            setattr(store, name, 60.0)
    return store
