"""A whole deployment: the router in front, and behind it an instance of each function that was asked for."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.system.deploy.vercel.build import Output
from tests.system.deploy.vercel.instance import Instance
from tests.system.deploy.vercel.routing import Destination, Router

TIMEOUT_S = 20.0
HOST = "my-gateway.vercel.app"


class Deployment:
    """`with Deployment(...) as deployment:`; functions start when they are first asked for."""

    def __init__(self, output: Output, python: Path, folder: Path, **environ: str) -> None:
        self.output = output
        self.router = Router(output.config, output.bundles.keys(), output.static)
        self._python = python
        self._folder = folder
        self._environ = environ
        self._running: dict[str, Instance] = {}
        self._stack = ExitStack()
        self._http = self._stack.enter_context(httpx.Client(timeout=TIMEOUT_S, trust_env=False))

    def start(self, function: str, **environ: str) -> Instance:
        """Start one more instance of a function, which the caller enters and leaves."""
        bundle = self.output.bundles[function]
        folder = self._folder / function.replace("/", "-")  # one may lie below another
        if not folder.exists():
            bundle.unpack(folder)
        return Instance(self._python, folder, bundle.config, **self._environ, **environ)

    def instance(self, function: str) -> Instance:
        """Return the instance of a function that serves requests, started at its first use."""
        if function not in self._running:
            self._running[function] = self._stack.enter_context(self.start(function))
        return self._running[function]

    def instance_for(self, path: str) -> Instance:
        return self.instance(self.router.find(path).function)

    def is_idle(self) -> bool:
        return all(instance.is_idle() for instance in self._running.values())

    def request(self, method: str, path: str, token: str = "", **options: Any) -> httpx.Response:
        """Send a request through the router."""
        destination = self.router.find(path.partition("?")[0])
        if not destination.function:
            return self._answer_itself(destination)
        headers = {**proxy_headers(), **({"authorization": f"Bearer {token}"} if token else {})}
        headers |= options.pop("headers", {})
        url = self.instance(destination.function).url + path
        if destination.query:
            url += ("&" if "?" in path else "?") + destination.query
        response = self._http.request(method, url, headers=headers, **options)
        response.headers.update(destination.headers)
        return response

    def get(self, path: str, token: str = "", **options: Any) -> httpx.Response:
        return self.request("GET", path, token, **options)

    def post(self, path: str, body: object, token: str = "", **options: Any) -> httpx.Response:
        return self.request("POST", path, token, json=body, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _answer_itself(self, destination: Destination) -> httpx.Response:
        file = self.output.folder / "static" / destination.file
        content = file.read_bytes() if destination.file else b"NOT_FOUND"
        return httpx.Response(destination.status, headers=destination.headers, content=content)


def proxy_headers(invocation: str = "") -> dict[str, str]:
    """Make what Vercel's proxy adds to each request; the runtime keeps the internal ones for itself."""
    return {
        "host": HOST,
        "x-forwarded-host": HOST,
        "x-forwarded-proto": "https",
        "x-forwarded-for": "203.0.113.7",
        "x-real-ip": "203.0.113.7",
        "x-vercel-id": "hkg1::x",
        "x-vercel-deployment-url": HOST,
        "x-vercel-internal-invocation-id": invocation or uuid.uuid4().hex,
        "x-vercel-internal-request-id": "1",
        "x-vercel-internal-oidc-token": OIDC_TOKEN,
    }


OIDC_TOKEN = "the.deployment's.own-identity"
