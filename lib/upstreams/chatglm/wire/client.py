"""The calls to chatglm.cn. No other module opens connections to it.

Each call gets a new signature. Every failure is raised as an error of lib/errors.py, never as one of httpx.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic, time
from typing import Any, TypeVar

import httpx
import msgspec

from lib.errors import (
    AccessTokenRefused,
    AccountRefused,
    GatewayError,
    InvalidRequest,
    UpstreamProtocolError,
    UpstreamRejected,
)
from lib.receiving import (
    Answer,
    UpstreamStream,
    answered_within,
    errors_of_http,
    pieces_of,
    read_rest,
    reader_of,
    reader_over,
    taken_within,
    watched,
)
from lib.transport.client import AsyncClient, whole_request
from lib.upstreams.chatglm.wire import protocol, refusals
from lib.upstreams.chatglm.wire.clock import UpstreamClock, read_server_time
from lib.upstreams.chatglm.wire.models import Target
from lib.upstreams.chatglm.wire.signing import sign

CALL_TIMEOUT_S = 20.0
"""Calls that answer at once (refresh, delete, stop, models) take well under a second."""

DELETION_TIMEOUT_S = 8.0
"""A clean-up has time for two deletions of a conversation."""

CLOCK_TIMEOUT_SHARE = 0.25
"""This share of a call's time is for reading the upstream's clock; the rest is for the call itself."""

T = TypeVar("T")

Tap = Callable[[int, str, AsyncIterator[bytes]], AsyncIterator[bytes]]
"""Records an answer: takes its status, Content-Type and bytes, and is read in their place."""

_TOKEN = re.compile(r"[!-~]+")
"""A header can carry these characters. Others would fail deep inside the HTTP client."""

KEEPALIVE_S = 60.0
"""A warm connection saves two round trips. The upstream closes idle ones after some minutes."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    base_url: str
    sign_secret: str
    app_version: str
    user_agent: str
    assistant_id: str
    connect_timeout_s: float
    idle_timeout_s: float = CALL_TIMEOUT_S
    """A call that answers in JSON takes at most so long. An upload may stand still for so long."""

    def __repr__(self) -> str:
        return "Config(…)"  # An address may contain a password.


class Session(msgspec.Struct, frozen=True):
    """One account's authority for one call."""

    access_token: str
    device_id: str

    def __repr__(self) -> str:
        return "Session(…)"


class Tokens(msgspec.Struct, frozen=True):
    """The result of a refresh. The refresh token is new, and the old one may be dead already (2026)."""

    access_token: str
    refresh_token: str
    is_guest: bool

    def __repr__(self) -> str:
        return f"Tokens(is_guest={self.is_guest})"


class UploadedFile(msgspec.Struct, frozen=True):
    """A file small enough to be held in memory."""

    name: str
    data: bytes
    content_type: str


class UserInfo(msgspec.Struct, frozen=True):
    is_guest: bool
    is_blocked: bool


class ChatGLM:
    """The upstream as one object. Its only state are warm connections and the upstream's clock."""

    def __init__(
        self,
        config: Config,
        *,
        now: Callable[[], float] = time,
        monotonic: Callable[[], float] = monotonic,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._config = config
        self._clock = UpstreamClock(now=now, monotonic=monotonic)
        self._new_id = new_id
        # The reader keeps the time: a chat may be silent for long, and has no total limit.
        timeouts = httpx.Timeout(None, connect=config.connect_timeout_s)
        self._extensions = {"timeout": timeouts.as_dict()}
        # All accounts share the connections. A cookie of one must not go out with another one's call: only
        # `exchange` is used, which knows no cookies.
        self._http = AsyncClient(
            limits=httpx.Limits(
                max_connections=None, max_keepalive_connections=20, keepalive_expiry=KEEPALIVE_S
            ),
            verify=tls or True,
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    def open_ahead(self) -> None:
        """Open a connection, if none waits, while the store is still asked for the account."""
        self._http.open_ahead(self._config.base_url, timeout_s=self._config.connect_timeout_s)

    @property
    def assistant_id(self) -> str:
        """The id of the main agent. It serves if a request names no other agent."""
        return self._config.assistant_id

    async def refresh(self, refresh_token: str, device_id: str) -> Tokens:
        """Exchange a refresh token; raise `AccountRefused` if the upstream does not accept it."""
        if not _TOKEN.fullmatch(refresh_token):
            raise AccountRefused("This is not a refresh token.", code="invalid_api_key")
        try:
            # No caller's patience ends this call: its answer may hold the account's only new token.
            result = await self._call(protocol.REFRESH, Session(refresh_token, device_id), {}, CALL_TIMEOUT_S)
        except AccessTokenRefused as error:
            raise AccountRefused(
                "The upstream refused the refresh token (expired, rotated elsewhere, or logged out). "
                "Log in at chatglm.cn again and take the new chatglm_refresh_token.",
                number=error.number,
            ) from error
        access, refreshed = _text(result, "access_token"), _text(result, "refresh_token")
        if not _TOKEN.fullmatch(access):
            raise UpstreamProtocolError("The upstream answered a refresh without an access token.")
        return Tokens(access, refreshed or refresh_token, is_guest=result.get("is_guest") is True)

    async def user_info(self, session: Session) -> UserInfo:
        result = await self._call(protocol.USER_INFO, session)
        if not result:
            raise UpstreamProtocolError("The upstream answered without facts about the account.")
        block = result.get("block_info")
        return UserInfo(
            is_guest=result.get("is_guest") is True,
            is_blocked=isinstance(block, dict) and bool(block.get("blocked")),
        )

    async def available_models(self, session: Session) -> tuple[str, ...]:
        """Return the `selected_model` names that the upstream offers this account."""
        result = await self._call(protocol.AVAILABLE_MODELS, session)
        offered = result.get("models")
        entries = [entry for entry in offered if isinstance(entry, dict)] if isinstance(offered, list) else []
        names = tuple(name for name in (_text(entry, "selected_model") for entry in entries) if name)
        if not names:
            raise UpstreamProtocolError("The upstream answered without a list of models.")
        return names

    async def start_chat(
        self,
        session: Session,
        prompt: str,
        target: Target,
        conversation_id: str,
        files: tuple[protocol.FileReference, ...] = (),
        *,
        tap: Tap | None = None,
    ) -> UpstreamStream:
        """Ask, and return with the first bytes of the answer; raise the error that a refusal means."""
        assistant_id = target.agent_id or self._config.assistant_id
        is_main = assistant_id == self._config.assistant_id
        referer = protocol.MAIN_REFERER if is_main else protocol.AGENT_REFERER + assistant_id
        body = protocol.chat_body(
            prompt, target, assistant_id=assistant_id, conversation_id=conversation_id, files=files
        )

        async def attempt() -> UpstreamStream:
            headers = self._headers(session, referer) | {"Accept": "text/event-stream"}
            request = self._request("POST", protocol.CHAT_STREAM, headers, content=body)
            with errors_of_http():
                response = await self._http.exchange(request)
            try:
                return await self._accepted(response, tap)
            except BaseException:
                await response.aclose()
                raise

        return await self._at_the_right_time(attempt, session)

    async def _accepted(self, response: httpx.Response, tap: Tap | None) -> UpstreamStream:
        read = reader_of(response)
        if tap is not None:
            content_type = response.headers.get("content-type", "")
            read = reader_over(tap(response.status_code, content_type, pieces_of(read)))
        with errors_of_http():
            first = await read()
        # The first byte tells a stream from JSON and HTML. Content-Type was missing or wrong at times.
        if response.status_code == 200 and first.lstrip()[:1] not in (b"{", b"<"):
            return UpstreamStream(response, read, first)
        content_type = response.headers.get("content-type", "")
        body = await read_rest(first, read)
        envelope = refusals.read_envelope(response.status_code, content_type, body)
        if envelope.result is None:
            # The upstream answers an unknown assistant_id with a success without a result (observed 2026).
            raise InvalidRequest("The upstream knows no such agent.", param="model")
        message = "The upstream answered a chat with JSON instead of a stream."
        raise UpstreamProtocolError(message, retry="never")

    async def stop(self, session: Session, history_id: str) -> None:
        """End a running generation. The upstream then closes its stream with error 10024 (captured 2026)."""
        await self._call(protocol.STOP_STREAM, session, body={"history_id": history_id})

    async def delete_conversation(self, session: Session, conversation_id: str, agent_id: str | None) -> None:
        """Delete by the path of 2026, or by the older one if the newer seems to be gone."""
        assistant_id = agent_id or self._config.assistant_id
        try:
            await self._call(
                protocol.BULK_DELETE,
                session,
                body={"conversation_ids": [conversation_id], "assistant_id": assistant_id},
                timeout_s=DELETION_TIMEOUT_S,
            )
        except GatewayError as error:
            if not refusals.may_be_the_paths(error):
                raise
            body = {"assistant_id": assistant_id, "conversation_id": conversation_id}
            await self._call(protocol.DELETE_2025, session, body=body, timeout_s=DELETION_TIMEOUT_S)

    async def _call(
        self,
        path: str,
        session: Session,
        body: dict[str, Any] | None = None,
        silence_s: float | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> dict[str, Any]:
        method = "GET" if body is None else "POST"
        result = await self.call(method, path, session, body=body, timeout_s=timeout_s, silence_s=silence_s)
        return result if isinstance(result, dict) else {}

    async def call(
        self,
        method: str,
        path: str,
        session: Session,
        *,
        body: dict[str, Any] | None = None,
        file: UploadedFile | None = None,
        referer: str = protocol.MAIN_REFERER,
        timeout_s: float = CALL_TIMEOUT_S,
        silence_s: float | None = None,
    ) -> Any:
        """Make a call that answers in JSON; return its `result`, of any type."""

        async def attempt() -> Any:
            headers = self._headers(session, referer)
            if body is None:
                del headers["Content-Type"]
            request = self._request(
                method,
                path,
                headers,
                content=None if body is None else msgspec.json.encode(body),
                files=None if file is None else {"file": (file.name, file.data, file.content_type)},
            )
            return _result(await self._answer_to(request))

        async with answered_within(min(timeout_s, silence_s or self._config.idle_timeout_s)):
            return await self._at_the_right_time(attempt, session)

    async def send_stream(
        self,
        path: str,
        session: Session,
        content: Callable[[], AsyncIterator[bytes]],
        *,
        content_type: str,
        content_length: int,
        timeout_s: float,
    ) -> Any:
        """Make such a call with a body in pieces. `content` returns the body from its start.

        It takes at most `timeout_s`, and may not stand still for longer than the idle timeout.
        """
        end_at = asyncio.get_running_loop().time() + timeout_s
        silence_s = min(timeout_s, self._config.idle_timeout_s)

        async def attempt() -> Any:
            headers = self._headers(session, protocol.MAIN_REFERER)
            headers |= {"Content-Type": content_type, "Content-Length": str(content_length)}
            pieces = watched(content(), bound, silence_s, end_at)
            request = self._request("POST", path, headers, content=pieces)
            return _result(await self._answer_to(request))

        async with taken_within(silence_s) as bound:
            return await self._at_the_right_time(attempt, session)

    async def _at_the_right_time(self, attempt: Callable[[], Awaitable[T]], session: Session) -> T:
        """Make a call. If the upstream refuses its signature, set our clock and repeat the call once.

        This is safe for an order of a video, too: the upstream checks the signature first.
        """
        since = self._clock.times_set
        try:
            return await attempt()
        except UpstreamRejected as error:
            if not refusals.is_stale(error):
                raise
            if not await self._clock.correct(since, lambda: self.server_time(session.device_id)):
                raise
        return await attempt()

    async def server_time(self, device_id: str) -> float:
        """Ask for the upstream's Unix time. This call needs no account, and our signature may be stale."""
        headers = self._headers(Session("", device_id), protocol.MAIN_REFERER)
        del headers["Authorization"], headers["Content-Type"]
        request = self._request("GET", protocol.SERVER_TIME, headers)
        async with taken_within(CLOCK_TIMEOUT_SHARE * min(CALL_TIMEOUT_S, self._config.idle_timeout_s)):
            server_time = read_server_time(_result(await self._answer_to(request)))
        if server_time is None:
            raise UpstreamProtocolError("The upstream answered without its time.")
        return server_time

    async def _answer_to(self, request: httpx.Request) -> Answer:
        with errors_of_http():
            response = await self._http.exchange(request)
        try:
            body = await read_rest(b"", reader_of(response))
        finally:
            await response.aclose()
        return Answer(response.status_code, response.headers.get("content-type", ""), body)

    def _request(self, method: str, path: str, headers: dict[str, str], **body: Any) -> httpx.Request:
        headers = {"Accept-Encoding": "identity", "Connection": "keep-alive", **headers}
        return whole_request(method, self._config.base_url + path, headers, self._extensions, **body)

    def _headers(self, session: Session, referer: str) -> dict[str, str]:
        return {
            **protocol.app_headers(
                app_version=self._config.app_version,
                user_agent=self._config.user_agent,
                device_id=session.device_id,
                request_id=self._new_id(),
            ),
            **sign(int(self._clock.now() * 1000), self._new_id(), self._config.sign_secret),
            "Authorization": f"Bearer {session.access_token}",
            "Content-Type": "application/json;charset=UTF-8",
            "Referer": referer,
        }


def _result(answer: Answer) -> Any:
    return refusals.read_envelope(answer.status_code, answer.content_type, answer.body).result


def _text(result: dict[str, Any], name: str) -> str:
    value = result.get(name)
    return value if isinstance(value, str) else ""
