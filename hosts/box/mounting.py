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

from lib.web.paths import MAX_REMEMBERED_CHARS, best_match, chosen

API_FOLDER = Path(__file__).resolve().parents[2] / "api"
KNOWN_PATHS = 256
"""The app remembers the file of so many paths. A search takes about 50 µs, a remembered path less than 1."""

Close = Callable[[], Awaitable[None]]


def mount(api_folder: Path, close: Close | None = None) -> MountedFiles:
    """Load every file of the folder. The file with a matching route answers the request.

    The app awaits `close` at the end of the server. Raise `TypeError` for a file without an `app`.
    """
    apps = {path.relative_to(api_folder).as_posix(): load(path) for path in function_files(api_folder)}
    if "index.py" not in apps:
        raise RuntimeError(f"{api_folder}/index.py is missing. It must answer all other paths.")
    return MountedFiles(apps, close)


def function_files(api_folder: Path) -> Iterator[Path]:
    """Find the files that Vercel makes functions of: each .py without a part that begins with `_` or `.`."""
    for path in sorted(api_folder.rglob("*.py")):
        if not any(part.startswith(("_", ".")) for part in path.relative_to(api_folder).parts):
            yield path


def load(path: Path) -> Starlette:
    """Load a file and return its app."""
    # It is loaded by its path, as the hosts do, and its module name is no import path. So it hides no module,
    # and its file name need not be a module's.
    name = f"api:{path}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:  # pragma: no cover - A .py file always has a loader.
        raise RuntimeError(f"{path} cannot be imported.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    app = getattr(module, "app", None)
    if not isinstance(app, Starlette):
        raise TypeError(f"Expected {path} to define `app` by lib.web.app.create_app, got {app!r}.")
    return app


class MountedFiles:
    """Sends a request to the file with its route. `index.py` answers all other paths."""

    def __init__(self, apps: dict[str, Starlette], close: Close | None) -> None:
        self._index = apps["index.py"]
        # The index is last, so that its route for every path hides no other file.
        self._apps = [*(app for file, app in apps.items() if file != "index.py"), self._index]
        self._routes = [route for app in self._apps for route in app.routes]
        self._close = close
        self._remembered = lru_cache(KNOWN_PATHS)(self._find)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._app_for(scope["method"], scope["path"])(scope, receive, send)
        else:
            await self._index(scope, receive, send)

    def _app_for(self, method: str, path: str) -> Starlette:
        is_usual = len(method) + len(path) <= MAX_REMEMBERED_CHARS
        return self._remembered(method, path) if is_usual else self._find(method, path)

    def _find(self, method: str, path: str) -> Starlette:
        path = chosen(path, lambda way: best_match(self._routes, method, way))
        matches = [best_match(app.routes, method, path) for app in self._apps]
        for wanted in (Match.FULL, Match.PARTIAL):
            if wanted in matches:
                return self._apps[matches.index(wanted)]
        return self._index

    async def _live(self, receive: Receive, send: Send) -> None:
        # The files' own lifespans are not used: no serverless host runs them, so no file may need one.
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self._close is not None:
            await self._close()
        await send({"type": "lifespan.shutdown.complete"})
