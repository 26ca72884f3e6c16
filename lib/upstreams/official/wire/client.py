"""The calls to the official API. No other module opens connections to it.

Every failure is raised as an error of lib/errors.py, never as one of httpx.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from time import time
from typing import IO, Any

import httpx
import msgspec

from lib.receiving import (
    MAX_ANSWER_BYTES,
    Answer,
    UpstreamStream,
    answered_within,
    errors_of_http,
    read_rest,
    reader_of,
)
from lib.transport.client import AsyncClient, whole_request
from lib.upstreams.official.wire import refusals
from lib.upstreams.official.wire.keys import Key

CALL_TIMEOUT_S = 20.0
"""Calls that answer at once take well under a second."""
KEEPALIVE_S = 60.0
"""A warm connection saves two round trips."""
_HEADERS = {
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "Accept-Language": "en-US,en",  # The texts of errors come in English then.
    "Connection": "keep-alive",
    "User-Agent": "glm-gateway",
}


class Upload(msgspec.Struct, frozen=True):
    """The file of a form. It is read from its start at each attempt."""

    name: str
    data: bytes | IO[bytes]
    content_type: str


class Form(msgspec.Struct, frozen=True):
    """A multipart body: its fields, and its file under the name `file`."""

    fields: Mapping[str, str | list[str]]
    file: Upload


class OfficialAPI:
    """The API as one object. Its only state are warm connections."""

    def __init__(
        self,
        base_url: str,
        *,
        connect_timeout_s: float = 10.0,
        now: Callable[[], float] = time,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._base_url = base_url
        self._now = now
        # The reader keeps the time: a chat may be silent for minutes, and has no total limit.
        timeouts = httpx.Timeout(None, connect=connect_timeout_s)
        self._extensions = {"timeout": timeouts.as_dict()}
        # The firewall sets a cookie. All keys share the connections, so none is kept: only `exchange` is
        # used, which knows no cookies.
        self._http = AsyncClient(
            limits=httpx.Limits(
                max_connections=None, max_keepalive_connections=20, keepalive_expiry=KEEPALIVE_S
            ),
            verify=tls or True,
        )

    def __repr__(self) -> str:
        return "OfficialAPI(…)"  # An address may contain a password.

    async def aclose(self) -> None:
        await self._http.aclose()

    async def get(self, key: Key, path: str, *, timeout_s: float = CALL_TIMEOUT_S) -> Answer:
        async with answered_within(timeout_s):
            return await self._answer_to(self._request("GET", path, key))

    async def post(
        self,
        key: Key,
        path: str,
        body: Mapping[str, Any] | Form,
        *,
        timeout_s: float = CALL_TIMEOUT_S,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> Answer:
        """Post JSON or a form. Return the whole answer: JSON, or a file's bytes."""
        async with answered_within(timeout_s):
            return await self._answer_to(self._posting(path, key, body), max_bytes=max_bytes)

    async def open_stream(
        self,
        key: Key,
        path: str,
        body: Mapping[str, Any] | Form,
        *,
        on_acceptance: Callable[[], None] = lambda: None,
    ) -> UpstreamStream:
        """Ask for events, and return with the first bytes. Raise the error that a refusal means.

        The stream's owner closes it, and keeps the time. `on_acceptance` is called as soon as the headers
        promise events: the first one may take minutes.
        """
        with errors_of_http():
            response = await self._http.exchange(self._posting(path, key, body))
        try:
            if response.status_code == 200 and _promises_events(response):
                on_acceptance()
            return await self._accepted(response)
        except BaseException:
            await response.aclose()
            raise

    async def _accepted(self, response: httpx.Response) -> UpstreamStream:
        read = reader_of(response)
        with errors_of_http():
            first = await read()
        # The first byte tells events from JSON and HTML. A refusal may come with HTTP 200.
        if response.status_code == 200 and first.lstrip()[:1] not in (b"{", b"<"):
            return UpstreamStream(response, read, first)
        answer = _answer(response, await read_rest(first, read))
        refusals.check(answer, now=self._now())
        raise refusals.no_events(answer)

    def _posting(self, path: str, key: Key, body: Mapping[str, Any] | Form) -> httpx.Request:
        if isinstance(body, Form):
            file = body.file
            parts = {"file": (file.name, file.data, file.content_type)}
            return self._request("POST", path, key, data=dict(body.fields), files=parts)
        json = {"Content-Type": "application/json"}
        return self._request("POST", path, key, headers=json, content=msgspec.json.encode(body))

    def _request(
        self, method: str, path: str, key: Key, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> httpx.Request:
        sent = {**_HEADERS, **(headers or {}), "Authorization": f"Bearer {key.text}"}
        return whole_request(method, f"{self._base_url}/{path}", sent, self._extensions, **more)

    async def _answer_to(self, request: httpx.Request, *, max_bytes: int = MAX_ANSWER_BYTES) -> Answer:
        with errors_of_http():
            response = await self._http.exchange(request)
        try:
            body = await read_rest(b"", reader_of(response), max_bytes=max_bytes)
        finally:
            await response.aclose()
        return refusals.check(_answer(response, body), now=self._now())


def _promises_events(response: httpx.Response) -> bool:
    kind: str = response.headers.get("content-type", "")
    return kind.startswith("text/event-stream")


def _answer(response: httpx.Response, body: bytes) -> Answer:
    return Answer(response.status_code, response.headers.get("content-type", ""), body)
