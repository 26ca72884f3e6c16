"""From an HTTP request to an endpoint: record it, check it, answer it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from .accounts import NOBODY, Account
from .auth import Refusal, check_bearer, check_headers, check_signature, odd_headers
from .chat import DRAWING_AGENT, ChatOrder, read_order
from .conversations import Call, Conversation, Turn
from .dialogue import where_tags_count
from .endpoints import ENDPOINTS, Endpoint
from .generation import ABORT_EXTENSION, Generation
from .scenes import SCENES, read_tag
from .steps import Cue, Json, Reply, Scene, Step
from .uploads import odd_references, read_form

if TYPE_CHECKING:
    from .app import Simulator

BASE = "/chatglm/"
STREAM = "backend-api/assistant/stream"
FRAME_UPLOAD = "video-api/v1/static/upload"
LOOP_TURNS_TO_NOTICE = 5
"""From a closed socket to its task: connection_lost, the event, the watcher; and room for one more."""
STOP_GRACE_S = 0.05
"""A stopped answer may need a moment to close its socket; that alone is no overlap."""

BUSY = {"status": 10061, "message": "请等待其他对话生成完毕"}
BLOCKED = {"status": 40304, "message": "user is blocked(40304)", "result": None}
"""Our own invention: what a blocked account's chat is answered is not known."""


def gate_routes(sim: Simulator) -> list[Route]:
    stream = Endpoint("POST", STREAM, lambda *_: None, "access")
    gates: list[Gate] = [Gate(sim, endpoint) for endpoint in ENDPOINTS]
    return [Route(BASE + gate.endpoint.path, gate) for gate in [*gates, ChatGate(sim, stream)]]


def refuse_unknown_path(sim: Simulator) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            sim.note(f"unknown path: {scope['method']} {scope['path']}")
            await to_response(Reply(404, {"status": 404, "message": "not found", "result": None}), "")(
                scope, receive, send
            )

    return answer


def to_response(reply: Reply, request_id: str) -> Response:
    body = reply.body
    if isinstance(body, dict):
        rid = {"rid": request_id} if "status" in body else {}
        body = msgspec.json.encode(body | rid)
    return Response(body, reply.status, headers={"content-type": reply.content_type})


class Gate:
    """One endpoint, as an ASGI application without a middleware between it and the socket."""

    def __init__(self, sim: Simulator, endpoint: Endpoint) -> None:
        self.sim = sim
        self.endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        abort = _find_abort(send)
        scope = {**scope, ABORT_EXTENSION: abort}
        request = Request(scope, receive)
        try:
            raw = await request.body()
        except ClientDisconnect:
            return
        answer = await self._answer(request, raw)
        if answer is None:
            await _disconnect(abort, send)
            return
        request_id = request.headers.get("x-request-id", "")
        app: ASGIApp = to_response(answer, request_id) if isinstance(answer, Reply) else answer
        try:
            await app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - a faulty scene must not pass for a faulty gateway
            self.sim.note(f"{self.endpoint.path}: the simulator failed: {error!r}")

    async def _answer(self, request: Request, raw: bytes) -> Reply | Generation | None:
        call, account = self._admit(request, raw)
        if isinstance(account, Reply):
            return account
        if account.generations:
            # A stream that was closed before this call was sent must also have been noticed before it.
            for _ in range(LOOP_TURNS_TO_NOTICE):
                await asyncio.sleep(0)
        fault = self._take_fault(account)
        if fault is None:
            return await self._handle(call, account)
        rotates = self.endpoint.bearer == "refresh"
        if rotates and account.refreshes_in_flight:
            self.sim.note(f"{call.name}: parallel refreshes of account {account.uid}")
        account.refreshes_in_flight += rotates
        self.sim.held_back.append(call)
        resets = self.sim.resets
        try:
            await asyncio.sleep(fault.delay_s)
            if fault.disconnect or self.sim.resets != resets:
                return None
            answer = fault.reply or await self._handle(call, account)
            await asyncio.sleep(fault.late_s)
        finally:
            account.refreshes_in_flight -= rotates
            self.sim.held_back.remove(call)
        return answer

    def _take_fault(self, account: Account) -> Any:
        with self.sim.lock:
            return self.sim.faults.take(self.endpoint.path, account.uid)

    def _admit(self, request: Request, raw: bytes) -> tuple[Call, Account | Reply]:
        sim, headers = self.sim, dict(request.headers)
        with sim.lock:
            bearer = check_bearer(headers, bearer=self.endpoint.bearer, book=sim.book)
            account = None if isinstance(bearer, Refusal) else bearer
            call = Call(
                method=request.method,
                path=request.url.path.removeprefix(BASE),
                headers=headers,
                query=dict(request.query_params),
                json=_decode(raw, headers.get("content-type", "")),
                at=sim.now(),
                uid=account.uid if account and account is not NOBODY else None,
                raw=raw if self.endpoint.path == FRAME_UPLOAD else b"",
            )
            sim.record(call)
            if request.method != self.endpoint.method:
                self._note(f"method {request.method}")
                return call, Reply(405, {"status": 405, "message": "method not allowed", "result": None})
            refusal = check_signature(
                headers,
                now_ms=int(sim.now() * 1000),
                nonces=sim.nonces,
                may_be_stale=self.endpoint.takes_stale,
            )
            refusal = check_headers(headers) or refusal
            if refusal is None:
                self._note_odd(call, account)
                refusal = bearer if isinstance(bearer, Refusal) else None
            if refusal is not None:
                if refusal.violation:
                    self._note(refusal.violation)
                body = {"status": refusal.status, "message": refusal.message, "result": None}
                return call, Reply(refusal.http_status, body)
            assert account is not None
            return call, account

    def _note_odd(self, call: Call, account: Account | None) -> None:
        accept = "text/event-stream" if self.endpoint.path == STREAM else "application/json"
        for oddity in odd_headers(call.headers, method=call.method, accept=accept):
            self._note(oddity)
        if account not in (None, NOBODY) and call.headers["x-device-id"] != account.device_id:
            self._note(f"X-Device-Id is not the device_id of account {account.uid}")

    def _note(self, violation: str) -> None:
        self.sim.note(f"{self.endpoint.path.partition('-api/')[2]}: {violation}")

    async def _handle(self, call: Call, account: Account) -> Reply | Generation:
        with self.sim.lock:
            result = self.endpoint.handle(self.sim, call, account)
        if isinstance(result, Reply):
            return result
        return Reply(200, {"status": 0, "message": "success", "result": result})


class ChatGate(Gate):
    """The chat stream."""

    async def _handle(self, call: Call, account: Account) -> Reply | Generation:
        for generation in list(account.generations):
            if generation.stopped:
                await generation.wait_for_end(STOP_GRACE_S)
        with self.sim.lock:
            order, oddities = read_order(call, self.sim.agents)
            for oddity in oddities:
                self._note(oddity)
            if isinstance(order, Reply):
                return order
            for oddity in odd_references(self.sim, order.files, account):
                self._note(oddity)
            return self._open(order, account)

    def _open(self, order: ChatOrder, account: Account) -> Reply | Generation:
        if account.blocked:
            return Reply(403, BLOCKED)
        if account.generations:
            account.max_overlap = max(account.max_overlap, len(account.generations) + 1)
            self._note(f"overlap on account {account.uid}")
            return Reply(429, BUSY)
        conversation = self._find_conversation(order, account)
        if conversation is None:
            return Reply(200, b"", "text/event-stream")
        cue = self._make_cue(order, conversation)
        steps = self._choose_steps(order, account, cue)
        first = next(steps, None)
        if isinstance(first, Reply):
            return first
        generation = Generation(
            cue=cue,
            steps=steps if first is None else chain([first], steps),
            account=account,
            conversation=conversation,
            pace_s=lambda: self.sim.pace_s,
            linger_s=self.sim.linger_s,
            close_delay_s=cue.number("tail", self.sim.close_delay_s),
            on_first_event=self.sim.announce,
            on_end=self._conclude,
        )
        self.sim.begin(generation)
        return generation

    def _find_conversation(self, order: ChatOrder, account: Account) -> Conversation | None:
        if not order.conversation_id:
            cue = Cue(prompt="")
            return Conversation(cue.conversation_id, account.uid, order.assistant_id, self.sim.now())
        known = self.sim.conversations.get(order.conversation_id)
        if known is None or known.deleted or known.uid != account.uid:
            return None
        return known

    def _make_cue(self, order: ChatOrder, conversation: Conversation) -> Cue:
        return Cue(
            prompt=order.prompt,
            conversation_id=conversation.id,
            assistant_id=order.assistant_id,
            chat_mode=order.chat_mode,
            model=order.model,
            web_search=order.web_search,
            turns=tuple(conversation.turns),
            image_base=f"{self.sim.file_base}/testpath",
            replay_dir=self.sim.replay_dir,
            files=[
                stored for file in order.files if (stored := self.sim.files.get(str(file.get("file_id"))))
            ],
        )

    def _choose_steps(self, order: ChatOrder, account: Account, cue: Cue) -> Iterator[Step]:
        chosen = self.sim.take_scene(account.uid)
        if chosen is not None and not isinstance(chosen, str):
            cue.scene = "ad hoc"
            return chosen(cue) if callable(chosen) else iter(chosen)
        tag = read_tag(where_tags_count(order.prompt) if chosen is None else f"[scene:{chosen}]")
        name, args = tag or ("images" if order.assistant_id == DRAWING_AGENT else "default", {})
        if name not in SCENES:
            self._note(f"unknown scene {name!r}")
            name = "default"
        cue.scene, cue.args = name, args
        play: Scene = SCENES[name].play
        return play(cue)

    def _conclude(self, generation: Generation) -> None:
        sim, cue, conversation = self.sim, generation.cue, generation.conversation
        with sim.lock:
            generation.account.generations.remove(generation)
            conversation.updated_at = sim.now()
            turn = Turn(cue.prompt, cue.answer, cue.reasoning, cue.scene, cue.history_id)
            conversation.turns.append(turn)


def _decode(raw: bytes, content_type: str) -> Any:
    if content_type.startswith("multipart/"):
        with contextlib.suppress(UnicodeDecodeError):
            return read_form(content_type, raw)
        return None
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.json.decode(raw)
    return None


def _find_abort(send: Send) -> Any:
    """Find uvicorn's way to reset the connection; ASGI itself has none."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    return getattr(transport, "abort", None)


async def _disconnect(abort: Any, send: Send) -> None:
    if abort is not None:
        abort()
        await asyncio.sleep(0.01)  # until uvicorn has noticed, or it would answer 500
        return
    head: Json = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]}
    await send(head)
