"""Serve every endpoint of api/ until Ctrl-C or SIGTERM, in one process or in several."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import MutableMapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import NoReturn

import uvicorn
from starlette.types import ASGIApp

from hosts.box.arguments import GRACE_S, Options, parse
from hosts.box.bounded_http import BoundedHttp
from hosts.box.demo import DEMO_KEY, start_demo
from hosts.box.ending import EndsInTime
from hosts.box.environment import require_shared_store, require_workers, use_local_store
from hosts.box.listening import CanNotListen, allow_open_files, listen
from hosts.box.mounting import API_FOLDER
from hosts.box.supervisor import Supervisor
from hosts.box.terminal import NO_ADDED, demo_greeting, greeting, shown_host
from lib.errors import ConfigurationError
from lib.settings import Settings, current
from lib.upstreams.choose import close_services, services_of, try_store
from lib.upstreams.condition import AddedAccounts
from lib.web.logs import configure_logging

CLEAN_UP_S = 22.0
"""After the grace, the clean-up may take this long. It takes milliseconds, but 20 s with a dead upstream."""
MARGIN_S = 5.0
"""A worker may take this much longer than uvicorn's own limit before it is killed."""
WORKER_PATIENCE_S = 30
"""The supervisor replaces a worker that does not answer for this long. On a busy machine a start takes
seconds."""
READ_S = 2.0
"""At the start the store may take this long to list its accounts. Later ones are not counted."""


def main(arguments: Sequence[str] | None = None, api_folder: Path = API_FOLDER) -> int:
    """Serve until Ctrl-C or SIGTERM; return the exit status."""
    options = parse(arguments)
    signal.signal(signal.SIGTERM, _end)
    allow_open_files()
    try:
        with ExitStack() as stack:
            listener = stack.enter_context(listen(options.host, options.port))
            url = f"http://{shown_host(options.host)}:{listener.getsockname()[1]}"
            announcement = _prepare(os.environ, options, url, stack)
            app = EndsInTime(api_folder, options.grace_s, DEMO_KEY if options.is_demo else "")
            config = config_of(app, options.grace_s, options.workers)
            if options.workers > 1:
                return _supervise(config, listener, announcement, options.grace_s)
            Server(config, announcement).run(sockets=[listener])
    except KeyboardInterrupt:
        pass
    except (ConfigurationError, CanNotListen) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _prepare(environ: MutableMapping[str, str], options: Options, url: str, stack: ExitStack) -> str:
    """Set the environment and its store up. Return the text to print when the server serves."""
    if not options.is_demo:
        use_local_store(environ)
        settings = Settings.from_env(environ)
        note, added = asyncio.run(_examine_store(settings))
        return greeting(url, settings, [] if note is None else [note], added)
    start_demo(environ, stack)
    Settings.from_env(environ)  # A mistake is reported here, and not by every answer.
    return demo_greeting(url)


async def _examine_store(settings: Settings) -> tuple[str | None, AddedAccounts]:
    """Return a note if the store fails, and the accounts that the owner has added to it."""
    note = await try_store(settings)
    if note is not None or not settings.keeps_accounts:
        return note, NO_ADDED
    try:
        return None, await services_of(settings).accounts.added(READ_S)
    finally:
        await close_services()


def _supervise(config: uvicorn.Config, listener: socket.socket, announcement: str, grace_s: float) -> int:
    settings = current()
    require_workers(os.name)
    require_shared_store(settings)
    configure_logging(settings.log_level, settings.log_format)
    end_s = grace_s + CLEAN_UP_S + MARGIN_S
    return Supervisor(config, listener, announcement, end_s=end_s).serve()


def config_of(app: ASGIApp, grace_s: float = GRACE_S, workers: int = 1) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        # uvloop and httptools need 0.78 of the CPU for an event (docs/performance.md). Windows has asyncio's.
        loop="auto",
        http=BoundedHttp,
        lifespan="on",
        ws="none",
        log_config=None,  # The log is ours, with one JSON line for each request.
        access_log=False,
        server_header=False,
        # Clients and proxies keep a connection for less time. So they close it first, and no request meets a
        # connection that the server has just closed.
        timeout_keep_alive=75,
        # After this time uvicorn closes the shared objects, even if a clean-up hangs and still needs them.
        timeout_graceful_shutdown=round(grace_s + CLEAN_UP_S),
        workers=workers,
        timeout_worker_healthcheck=WORKER_PATIENCE_S,
    )


class Server(uvicorn.Server):
    """Prints its announcement as soon as it answers, and not before."""

    def __init__(self, config: uvicorn.Config, announcement: str) -> None:
        super().__init__(config)
        self._announcement = announcement

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(self._announcement, flush=True)


def _end(_signal: int, _frame: FrameType | None) -> NoReturn:
    # uvicorn first ends its answers and then sends the signal again, to the earlier handler: this one. The
    # default handler would kill the process. This one closes everything that is open.
    raise SystemExit(0)
