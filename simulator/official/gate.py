"""From an HTTP request to an endpoint of the official API: record it, check its key, answer it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from simulator.connection import ABORT_EXTENSION, disconnect, find_abort
from simulator.forms import read_form
from simulator.records import Call
from simulator.steps import Reply

from .errors import Refused
from .state import Key, OfficialState

BASE = "/api/paas/v4/"
KEY_FORM = re.compile(r"[0-9a-f]{32}\.[A-Za-z0-9]{8,64}")

Answer = Reply | ASGIApp | None
"""None: close the connection without an answer."""
Handler = Callable[[OfficialState, Call, Key], Awaitable[Answer] | Answer | dict[str, Any]]


class Gate:
    """One endpoint, as an ASGI application."""

    def __init__(self, state: OfficialState, handle: Handler) -> None:
        self._state = state
        self._handle = handle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        abort = find_abort(send)
        request = Request({**scope, ABORT_EXTENSION: abort}, receive)
        try:
            raw = await request.body()
        except ClientDisconnect:
            return
        call, key = self._record(request, raw)
        try:
            answer = await self._answer(call, key)
        except Refused as refused:
            answer = refused.reply
        if answer is None:
            await disconnect(abort, send)
            return
        app = to_response(answer) if isinstance(answer, Reply) else answer
        await app(request.scope, receive, send)

    async def _answer(self, call: Call, key: Key | None) -> Answer:
        fault = self._state.take_fault(call.path, key.label if key else None)
        if fault is not None:
            self._state.held_back.append(call)
            try:
                await asyncio.sleep(fault.delay_s)
            finally:
                self._state.held_back.remove(call)
            if fault.disconnect:
                return None
            if fault.reply is not None:
                return fault.reply
        _refuse_key(call, key)
        assert key is not None
        result = self._handle(self._state, call, key)
        answer = await result if isinstance(result, Awaitable) else result
        if fault is not None:
            await asyncio.sleep(fault.late_s)
        return Reply(200, answer) if isinstance(answer, dict) else answer

    def _record(self, request: Request, raw: bytes) -> tuple[Call, Key | None]:
        headers = dict(request.headers)
        key = self._state.keys.get(headers.get("authorization", "").removeprefix("Bearer "))
        call = Call(
            method=request.method,
            path=request.url.path.removeprefix(BASE),
            headers=headers,
            query=dict(request.query_params),
            json=_decode(raw, headers.get("content-type", "")),
            at=self._state.now(),
            uid=key.label if key else None,
        )
        self._state.record(call)
        if "cookie" in headers:
            self._state.note(f"{call.path}: a cookie came back")
        return call, key


def unknown_path(state: OfficialState) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            state.note(f"unknown path: {scope['method']} {scope['path']}")
            reply = Reply(404, {"timestamp": "", "status": 404, "error": "Not Found", "path": scope["path"]})
            await to_response(reply)(scope, receive, send)

    return answer


def to_response(reply: Reply) -> Response:
    """Add the support id and the firewall's cookie, as on every answer (official.md §1)."""
    body = msgspec.json.encode(reply.body) if isinstance(reply.body, dict) else reply.body
    headers = {
        "content-type": reply.content_type,
        "x-log-id": uuid.uuid4().hex,
        "set-cookie": "acw_tc=0123456789abcdef; path=/; HttpOnly; Max-Age=1800",
    }
    return Response(body, reply.status, headers=headers)


def body_of(call: Call) -> dict[str, Any]:
    if not isinstance(call.json, dict):
        raise Refused("1210", "the body is not a JSON object")
    return call.json


def _refuse_key(call: Call, key: Key | None) -> None:
    header = call.headers.get("authorization", "")
    if not header:
        raise Refused("1001")
    if key is None:
        raise Refused("1000" if KEY_FORM.fullmatch(header.removeprefix("Bearer ")) else "1002")
    if key.refused:
        raise Refused(key.refused)


def _decode(raw: bytes, content_type: str) -> Any:
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
        return (
            read_form(content_type, raw)
            if content_type.startswith("multipart/")
            else msgspec.json.decode(raw)
        )
    return None
