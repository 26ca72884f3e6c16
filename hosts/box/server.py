"""Every endpoint of api/ in one server: for a laptop, a box, Docker, and the demo (`scripts/serve`)."""

from __future__ import annotations

import argparse
import asyncio
import errno
import importlib.util
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from contextlib import ExitStack, suppress
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import NoReturn
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from hosts.box.bounded_http import BoundedHttp, allow_open_files
from hosts.box.workers import Workers
from lib.errors import ConfigurationError
from lib.settings import Settings, current
from lib.upstreams.chatglm.gateway import close_gateways
from lib.web.ending import cut_short
from lib.web.logs import configure_logging

API_FOLDER = Path(__file__).resolve().parents[2] / "api"
DEMO_KEY = "sk-demo"
DEMO_PACE_S = 0.02
"""Between two words of the demo's answers: about as fast as the real model writes."""
GRACE_S = 8.0
"""How long answers that are under way may take to finish, once the server is told to end; then they are cut
short with an error. `docker stop` kills what is still there after 10 s."""
TELL_S = 1.0
"""How long a client may take to read that; one that reads nothing is left without."""
CLEAN_UP_S = 22.0
"""All after the grace. Cleaning up takes milliseconds; with a dead upstream, up to 20 s."""
KNOWN_PATHS = 256
"""Paths remembered with their file: asking every route takes some 50 µs, remembering less than 1."""
BACKLOG = 2048
"""Connections that may wait to be accepted; as many as uvicorn takes by itself."""

Close = Callable[[], Awaitable[None]]


# One app of many files


def mount(api_folder: Path, close: Close | None = None) -> MountedFiles:
    """Load every file of the folder, and answer each request by the file that has a route for it.

    `close` is awaited when the server ends. Raises `TypeError` for a file without an `app`.
    """
    apps = {path.relative_to(api_folder).as_posix(): _load(path) for path in _function_files(api_folder)}
    if "index.py" not in apps:
        raise RuntimeError(f"{api_folder}/index.py is missing: it answers what no other file does.")
    return MountedFiles(apps, close)


def _function_files(api_folder: Path) -> Iterator[Path]:
    """Find what Vercel makes functions of: each .py without a leading underscore or dot in its path."""
    for path in sorted(api_folder.rglob("*.py")):
        if not any(part.startswith(("_", ".")) for part in path.relative_to(api_folder).parts):
            yield path


def _load(path: Path) -> Starlette:
    # By its place, as the hosts do, and under a name that is no import path: what is loaded here neither
    # shadows a module nor needs a file name that could be one.
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
    """Sends a request to the file that knows its path; to `index.py` when none does."""

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


# The server


def main(arguments: Sequence[str] | None = None, api_folder: Path = API_FOLDER) -> int:
    """Serve until Ctrl-C or SIGTERM; return the exit status."""
    options = _parse(arguments)
    signal.signal(signal.SIGTERM, _end)
    allow_open_files()
    try:
        with ExitStack() as stack:
            if options.inherited is not None:
                return _work(options)
            listener = stack.enter_context(_listen(options.host, options.port))
            url = f"http://{_shown_host(options.host)}:{listener.getsockname()[1]}"
            announcement = _prepare(os.environ, options, url, stack)
            if options.workers > 1:
                _require_shared_store()
                return _supervise(listener, options, api_folder, announcement)
            config = _config(mount(api_folder, close_gateways), options.grace)
            _Server(config, announcement, options.grace).run(sockets=[listener])
    except KeyboardInterrupt:
        pass
    except (ConfigurationError, _CanNotListen) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/serve", description="Serve every endpoint of api/ here.")
    parser.add_argument(
        "--demo",
        action="store_true",
        help="use an imitation of the upstream: no account, no configuration, no network",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=8000, help="port to listen on (default: %(default)s)")
    parser.add_argument(
        "--workers", type=_count, default=1, help="processes that share the port and the store (default: 1)"
    )
    parser.add_argument(
        "--grace",
        type=_seconds,
        default=GRACE_S,
        metavar="SECONDS",
        help="at the end: how long answers that are under way may take to finish (default: %(default)g)",
    )
    # What a supervisor tells its workers.
    parser.add_argument("--inherited", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--api-folder", type=Path, default=API_FOLDER, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _prepare(
    environ: MutableMapping[str, str], options: argparse.Namespace, url: str, stack: ExitStack
) -> str:
    """Set the environment up, and what it names; return what is said once it is served."""
    if not options.demo:
        _use_local_store(environ)
        return _text(url, Settings.from_env(environ))
    from simulator.server import SimulatorServer

    simulator = stack.enter_context(SimulatorServer(pace_s=DEMO_PACE_S))
    _use_simulator(environ, simulator.base_url, simulator.simulator.add_account())
    # Its pictures are its own too: nothing leaves this machine, not even to fetch one.
    simulator.simulator.file_base = simulator.base_url.removesuffix("/chatglm")
    environ["FETCH_ALLOW_HOSTS"] = urlsplit(simulator.base_url).netloc
    if captures := environ.get("CAPTURE_DIR"):  # [scene:replay file=…] finds what is recorded there
        simulator.simulator.replay_dir = Path(captures)
    if options.workers > 1:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="glm-gateway-demo-"))
        environ["STORE_URL"] = f"sqlite:///{folder}/state.db"
    Settings.from_env(environ)  # what is wrong is told here, not by every answer
    return _demo_text(url)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 <= float(text) < float("inf"):
            return float(text)
    raise argparse.ArgumentTypeError(f"expected a number of seconds from 0, got {text!r}")


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(
            f"a port is a number from 0 (any that is free) to 65535, not {text!r}"
        )
    return int(text)


def _end(_signal: int, _frame: FrameType | None) -> NoReturn:
    # uvicorn ends its answers first, and then repeats the signal to whoever handled it before: to us. The
    # default would kill the process there; this way everything that was opened is closed.
    raise SystemExit(0)


class _CanNotListen(Exception):
    """The address is not to be had; the message is for the person at the terminal."""


def _listen(host: str, port: int) -> socket.socket:
    try:
        # Not socket.create_server: it does not name the protocol, asyncio then leaves TCP_NODELAY off, and an
        # answer can wait 40 ms for an acknowledgement.
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        family, kind, protocol, _, address = found[0]
        with ExitStack() as stack:
            listener = stack.enter_context(socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
            stack.pop_all()  # nothing went wrong: the caller closes it
            return listener
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise _CanNotListen(
                f"port {port} of {host} is taken by another program (or another scripts/serve). "
                f"Choose another one: --port {port + 1 if port < 65535 else 8000}"
            ) from error
        raise _CanNotListen(f"cannot listen on {host}, port {port}: {error}") from error


def _config(app: ASGIApp, grace_s: float = GRACE_S) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        # uvloop and httptools, 0.78 of the CPU for an event (docs/performance.md); on Windows asyncio's loop.
        loop="auto",
        http=BoundedHttp,
        lifespan="on",
        ws="none",
        log_config=None,  # the log is ours, one JSON line per request
        access_log=False,
        server_header=False,
        # Longer than clients and proxies keep a connection: who closes first must not be who is asked next.
        timeout_keep_alive=75,
        # After that uvicorn closes what is shared, whoever still needs it: a clean-up that hangs.
        timeout_graceful_shutdown=round(grace_s + CLEAN_UP_S),
    )


class _Server(uvicorn.Server):
    """Says where it is once it really answers, not before; ends its answers before uvicorn gives them up."""

    def __init__(
        self, config: uvicorn.Config, announcement: str, grace_s: float = GRACE_S, *, is_worker: bool = False
    ) -> None:
        super().__init__(config)
        self._announcement = announcement
        self._grace_s = grace_s
        self._is_worker = is_worker

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._is_worker:
            asyncio.get_running_loop().add_reader(sys.stdin, self._end)
        print(self._announcement, flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Nobody new is let in from here on. uvicorn itself would cancel the rest at the end of its time, and
        # close the store at once: no lease could be returned, and no client would be told.
        loop = asyncio.get_running_loop()
        timers = [loop.call_later(self._grace_s + late_s, cut_short) for late_s in (0.0, TELL_S)]
        try:
            await super().shutdown(sockets)
        finally:
            for timer in timers:
                timer.cancel()

    def _end(self) -> None:
        """The supervisor has closed its end of the pipe, or is dead."""
        asyncio.get_running_loop().remove_reader(sys.stdin)
        self.should_exit = True


# Several servers on one socket


def _supervise(
    listener: socket.socket, options: argparse.Namespace, api_folder: Path, announcement: str
) -> int:
    configure_logging(current().log_level)
    command = [sys.executable, "-m", "hosts.box", "--api-folder", str(api_folder)]
    command += ["--grace", str(options.grace)]
    # Some seconds more than uvicorn takes at most.
    end_s = options.grace + CLEAN_UP_S + 5
    with Workers(listener, command, options.workers, end_s=end_s) as workers:
        if not workers.all_serve():
            return 1
        print(announcement, flush=True)
        return workers.watch()


def _work(options: argparse.Namespace) -> int:
    # The protocol named again, for TCP_NODELAY: not every system tells it of a socket.
    with socket.socket(-1, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=options.inherited) as listener:
        config = _config(mount(options.api_folder, close_gateways), options.grace)
        _Server(config, "serving", options.grace, is_worker=True).run(sockets=[listener])
    return 0


# The environment that it runs in


def _use_local_store(environ: MutableMapping[str, str]) -> None:
    """Keep rotated tokens over a restart: in the owner's state folder, unless STORE_URL says where."""
    if environ.get("STORE_URL"):
        return
    state = Path(environ.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():  # unset; or relative, which the XDG specification says to ignore
        state = Path.home() / ".local" / "state"
    folder = state / "glm-gateway"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    environ["STORE_URL"] = f"sqlite:///{folder / 'state.db'}"


def _require_shared_store() -> None:
    if current().store_url.startswith("memory:"):
        raise ConfigurationError(
            "--workers needs a store that the processes share, and STORE_URL is memory://. "
            "Leave it unset, or name a file: sqlite:///state.db"
        )


def _use_simulator(environ: MutableMapping[str, str], base_url: str, refresh_token: str) -> None:
    """Point the gateway at the imitation, and leave nothing of the owner's own account in its reach."""
    for name in [name for name in environ if name.startswith("CHATGLM_")]:
        del environ[name]
    environ["CHATGLM_BASE_URL"] = base_url
    environ["CHATGLM_REFRESH_TOKENS"] = refresh_token
    environ["API_KEYS"] = DEMO_KEY
    environ["STORE_URL"] = "memory://"
    # A proxy that the machine needs for the world must not be asked for 127.0.0.1.
    proxied = environ.get("no_proxy") or environ.get("NO_PROXY")
    environ["no_proxy"] = ",".join(filter(None, (proxied, "127.0.0.1", "localhost")))


# What is said at the terminal


def _shown_host(host: str) -> str:
    """Name the host as a client on this machine would."""
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _text(url: str, settings: Settings) -> str:
    gaps = [f"note: {gap}" for gap in settings.gaps()]
    return "\n".join((f"glm-gateway serves {url}/v1", *gaps, "Ctrl-C ends it."))


def _demo_text(url: str) -> str:
    return f"""\
glm-gateway, demo: an imitation of the upstream answers; nothing leaves this machine.

    base URL  {url}/v1
    API key   {DEMO_KEY}

Ask it, streamed:

    curl -N {url}/v1/chat/completions \\
      -H 'Authorization: Bearer {DEMO_KEY}' -H 'Content-Type: application/json' \\
      -d '{{"model": "glm-5.3", "stream": true, "messages": [{{"role": "user", "content": "Hello!"}}]}}'

or with the official SDK (pip install openai):

    from openai import OpenAI
    client = OpenAI(base_url="{url}/v1", api_key="{DEMO_KEY}")
    messages = [{{"role": "user", "content": "Hello!"}}]
    print(client.chat.completions.create(model="glm-5.3", messages=messages).choices[0].message.content)

Ctrl-C ends it."""
