"""Many files of api/, each an app of its own, as one app."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Awaitable, Callable, Iterator
from functools import lru_cache
from pathlib import Path

from starlette.applications import Starlette
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

API_FOLDER = Path(__file__).resolve().parents[2] / "api"
KNOWN_PATHS = 256
"""As many paths are remembered with their file. Asking every route takes some 50 µs, a look less than 1."""

Close = Callable[[], Awaitable[None]]


def mount(api_folder: Path, close: Close | None = None) -> MountedFiles:
    """Load every file of the folder, and answer each request by the file that has a route for it.

    `close` is awaited when the server ends. Raises `TypeError` for a file without an `app`.
    """
    apps = {path.relative_to(api_folder).as_posix(): load(path) for path in function_files(api_folder)}
    if "index.py" not in apps:
        raise RuntimeError(f"{api_folder}/index.py is missing: it answers what no other file does.")
    return MountedFiles(apps, close)


def function_files(api_folder: Path) -> Iterator[Path]:
    """Find the files that Vercel makes functions of: each .py without a part that begins with `_` or `.`."""
    for path in sorted(api_folder.rglob("*.py")):
        if not any(part.startswith(("_", ".")) for part in path.relative_to(api_folder).parts):
            yield path


def load(path: Path) -> Starlette:
    """Load a file and return its app."""
    # By its place, as the hosts do, and under a name that is no import path: the file neither shadows a
    # module nor needs a name that could be one.
    name = f"api:{path}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:  # pragma: no cover - a .py file always has a loader
        raise RuntimeError(f"{path} cannot be imported.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    app = getattr(module, "app", None)
    if not isinstance(app, Starlette):
        raise TypeError(f"{path} must define `app`, made by lib.web.app.create_app; it has {app!r}.")
    return app


class MountedFiles:
    """Sends a request to the file that knows its path; to `index.py` if none does."""

    def __init__(self, apps: dict[str, Starlette], close: Close | None) -> None:
        self._index = apps["index.py"]
        # Last, so that a route of its for everything would not hide the other files.
        self._apps = [*(app for file, app in apps.items() if file != "index.py"), self._index]
        self._close = close
        self._remembered = lru_cache(KNOWN_PATHS)(self._find)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._remembered(scope["method"], scope["path"])(scope, receive, send)
        else:
            await self._index(scope, receive, send)

    def _find(self, method: str, path: str) -> Starlette:
        scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}
        wrong_method = None
        for app in self._apps:
            for route in app.router.routes:
                match, _ = route.matches(scope)
                if match is Match.FULL:
                    return app
                if match is Match.PARTIAL and wrong_method is None:
                    wrong_method = app
        return wrong_method or self._index

    async def _live(self, receive: Receive, send: Send) -> None:
        # The files' own lifespans stay unused: no serverless host runs them, so none may depend on one.
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self._close is not None:
            await self._close()
        await send({"type": "lifespan.shutdown.complete"})
