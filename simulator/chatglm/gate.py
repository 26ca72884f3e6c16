"""From an HTTP request to an endpoint: record the call, check it, answer it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from simulator.connection import ABORT_EXTENSION, disconnect, find_abort
from simulator.forms import read_form
from simulator.records import Call
from simulator.steps import Reply

from .accounts import NOBODY, Account
from .auth import Refusal, check_bearer, check_headers, check_signature, odd_headers
from .registry import ENDPOINTS, Endpoint
from .state import State

BASE = "/chatglm/"
STREAM = "backend-api/assistant/stream"
FRAME_UPLOAD = "video-api/v1/static/upload"
LOOP_TURNS_TO_NOTICE = 5
"""The loop turns from a closed socket to its task: connection_lost, the event, the watcher; and one more."""


def gate_routes(state: State) -> list[Route]:
    return [Route(BASE + endpoint.path, Gate(state, endpoint)) for endpoint in ENDPOINTS]


def refuse_unknown_path(state: State) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            state.note(f"unknown path: {scope['method']} {scope['path']}")
            response = to_response(_refuse(404, 404, "not found"), "")
            await response(scope, receive, send)

    return answer


def to_response(reply: Reply, request_id: str) -> Response:
    body = reply.body
    if isinstance(body, dict):
        rid = {"rid": request_id} if "status" in body else {}
        body = msgspec.json.encode(body | rid)
    return Response(body, reply.status, headers={"content-type": reply.content_type})


class Gate:
    """One endpoint, as an ASGI application without a middleware between it and the socket."""

    def __init__(self, state: State, endpoint: Endpoint) -> None:
        self.state = state
        self.endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        abort = find_abort(send)
        scope = {**scope, ABORT_EXTENSION: abort}
        request = Request(scope, receive)
        try:
            raw = await request.body()
        except ClientDisconnect:
            return
        answer = await self._answer(request, raw)
        if answer is None:
            await disconnect(abort, send)
            return
        request_id = request.headers.get("x-request-id", "")
        app = to_response(answer, request_id) if isinstance(answer, Reply) else answer
        try:
            await app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - a faulty scene must not pass for a faulty gateway
            self.state.note(f"{self.endpoint.path}: the simulator failed: {error!r}")

    async def handle(self, call: Call, account: Account) -> Reply | ASGIApp:
        """Carry out a call that was admitted."""
        with self.state.lock:
            result = self.endpoint.handle(self.state, call, account)
        if isinstance(result, Reply):
            return result
        return Reply(200, {"status": 0, "message": "success", "result": result})

    def note(self, violation: str) -> None:
        self.state.note(f"{self.endpoint.path.partition('-api/')[2]}: {violation}")

    async def _answer(self, request: Request, raw: bytes) -> Reply | ASGIApp | None:
        call = self._record(request, raw)
        account = self._admit(call)
        if isinstance(account, Reply):
            return account
        if account.generations:
            # If a stream was closed before this call was sent, its end must be noticed before it too.
            for _ in range(LOOP_TURNS_TO_NOTICE):
                await asyncio.sleep(0)
        fault = self.state.take_fault(self.endpoint.path, account.uid)
        if fault is None:
            return await self.handle(call, account)
        with self._held_back(call, account):
            resets = self.state.resets
            await asyncio.sleep(fault.delay_s)
            if fault.disconnect or self.state.resets != resets:
                return None
            answer = fault.reply or await self.handle(call, account)
            await asyncio.sleep(fault.late_s)
        return answer

    @contextlib.contextmanager
    def _held_back(self, call: Call, account: Account) -> Any:
        rotates = self.endpoint.bearer == "refresh"
        if rotates and account.refreshes_in_flight:
            self.state.note(f"{call.name}: parallel refreshes of account {account.uid}")
        account.refreshes_in_flight += rotates
        self.state.held_back.append(call)
        try:
            yield
        finally:
            account.refreshes_in_flight -= rotates
            self.state.held_back.remove(call)

    def _bearer(self, headers: dict[str, str]) -> Account | Refusal:
        return check_bearer(headers, bearer=self.endpoint.bearer, book=self.state.book)

    def _record(self, request: Request, raw: bytes) -> Call:
        headers = dict(request.headers)
        with self.state.lock:
            account = self._bearer(headers)
            call = Call(
                method=request.method,
                path=request.url.path.removeprefix(BASE),
                headers=headers,
                query=dict(request.query_params),
                json=_decode(raw, headers.get("content-type", "")),
                at=self.state.now(),
                uid=account.uid if isinstance(account, Account) and account is not NOBODY else None,
                raw=raw if self.endpoint.path == FRAME_UPLOAD else b"",
            )
            self.state.record(call)
        return call

    def _admit(self, call: Call) -> Account | Reply:
        with self.state.lock:
            if call.method != self.endpoint.method:
                self.note(f"method {call.method}")
                return _refuse(405, 405, "method not allowed")
            bearer = self._bearer(call.headers)
            signed = check_signature(
                call.headers,
                now_ms=int(self.state.now() * 1000),
                nonces=self.state.nonces,
                may_be_stale=self.endpoint.takes_stale,
            )
            refusal = check_headers(call.headers) or signed
            if refusal is None:
                self._note_odd(call, bearer)
                if not isinstance(bearer, Refusal):
                    return bearer
                refusal = bearer
            if refusal.violation:
                self.note(refusal.violation)
            return _refuse(refusal.http_status, refusal.status, refusal.message)

    def _note_odd(self, call: Call, account: Account | Refusal) -> None:
        accept = "text/event-stream" if self.endpoint.path == STREAM else "application/json"
        for oddity in odd_headers(call.headers, method=call.method, accept=accept):
            self.note(oddity)
        if isinstance(account, Refusal) or account is NOBODY:
            return
        if call.headers["x-device-id"] != account.device_id:
            self.note(f"X-Device-Id is not the device_id of account {account.uid}")


def _refuse(http_status: int, status: int, message: str) -> Reply:
    return Reply(http_status, {"status": status, "message": message, "result": None})


def _decode(raw: bytes, content_type: str) -> Any:
    if content_type.startswith("multipart/"):
        with contextlib.suppress(UnicodeDecodeError):
            return read_form(content_type, raw)
        return None
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.json.decode(raw)
    return None
