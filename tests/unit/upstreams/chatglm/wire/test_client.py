"""The calls to the upstream over a real socket, against the simulator, which is as strict as the real one."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from lib.errors import (
    AccessTokenRefused,
    AccountRefused,
    GatewayError,
    InvalidRequest,
    Throttled,
    UpstreamProtocolError,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from lib.receiving import MAX_ANSWER_BYTES, UpstreamStream
from lib.transport.connection import Connection
from lib.transport.pool import Transport
from lib.upstreams.chatglm.wire.client import ChatGLM, Session, Tokens, UserInfo
from lib.upstreams.chatglm.wire.models import Target
from tests.conftest import SimulatedAccount, Upstream
from tests.support.chatglm import config

CAPTURED_BODY = {
    # The web application's own request of 2026-09-29, "深度" mode, first turn.
    "assistant_id": "65940acff94777010aa6b796",
    "conversation_id": "",
    "project_id": "",
    "chat_type": "user_chat",
    "meta_data": {
        "cogview": {"rm_label_watermark": False},
        "is_test": False,
        "input_question_type": "xxxx",
        "channel": "",
        "draft_id": "",
        "chat_mode": "thinking",
        "reasoning_effort": "high",
        "selected_model": "glm-5.3-flash",
        "is_networking": True,
        "quote_log_id": "",
        "platform": "pc",
    },
    "messages": [{"role": "user", "content": [{"type": "text", "text": "你好"}]}],
}
TARGET = Target(model="glm-5.3-flash")
AGENT = "65c046a531d3fcb034918abe"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
async def chatglm(upstream: Upstream) -> AsyncIterator[ChatGLM]:
    client = ChatGLM(config(upstream.base_url))
    yield client
    await client.aclose()


@pytest.fixture
async def session(chatglm: ChatGLM, upstream: Upstream, account: SimulatedAccount) -> Session:
    """Log the account in as its browser would."""
    device_id = upstream.sim.account(account.uid).device_id
    tokens = await chatglm.refresh(account.token, device_id)
    return Session(tokens.access_token, device_id)


def connections_of(chatglm: ChatGLM) -> list[Connection]:
    transport = chatglm._http._transport
    assert isinstance(transport, Transport)
    return [*transport.busy, *transport.idle]


async def read_all(stream: UpstreamStream) -> bytes:
    pieces = []
    try:
        while piece := await stream.read():
            pieces.append(piece)
    finally:
        await stream.aclose()
    return b"".join(pieces)


async def ask(
    chatglm: ChatGLM, session: Session, prompt: str, target: Target = TARGET, conversation_id: str = ""
) -> bytes:
    return await read_all(await chatglm.start_chat(session, prompt, target, conversation_id))


def ids_of(raw: bytes) -> tuple[str, str]:
    first = json.loads(raw.partition(b"data:")[2].partition(b"\n")[0])
    return first["conversation_id"], first["id"]


# What is sent


async def test_every_call_is_signed_anew_and_is_what_a_browser_sends(
    chatglm: ChatGLM, session: Session, upstream: Upstream, account: SimulatedAccount
) -> None:
    conversation_id, history_id = ids_of(await ask(chatglm, session, "Hello!"))
    await chatglm.user_info(session)
    await chatglm.available_models(session)
    await chatglm.stop(session, history_id)
    await chatglm.delete_conversation(session, conversation_id, None)
    calls = upstream.sim.calls
    assert [call.path.rpartition("/")[2] for call in calls] == [
        "refresh",
        "stream",
        "info",
        "detail",
        "stop_stream",
        "bulk_delete",
    ]
    for name in ("x-nonce", "x-sign", "x-request-id"):
        assert len({call.headers[name] for call in calls}) == len(calls), name
    assert {call.headers["x-device-id"] for call in calls} == {session.device_id}
    assert {call.headers["referer"] for call in calls} == {"https://chatglm.cn/main/alltoolsdetail"}
    assert {call.headers["user-agent"] for call in calls} == {"Mozilla/5.0 (test)"}
    assert all(call.headers["authorization"].startswith("Bearer ey") for call in calls)
    assert "cookie" not in "".join(name for call in calls for name in call.headers)
    assert upstream.sim.live_conversations() == []
    assert upstream.sim.violations == []


async def test_a_chat_accepts_a_stream_and_everything_else_json(
    chatglm: ChatGLM, session: Session, upstream: Upstream
) -> None:
    await ask(chatglm, session, "Hello!")
    refresh, chat = upstream.sim.calls
    assert chat.headers["accept"] == "text/event-stream"
    assert refresh.headers["accept"] == "application/json, text/plain, */*"
    assert chat.headers["content-type"] == refresh.headers["content-type"] == "application/json;charset=UTF-8"
    assert chat.headers["accept-encoding"] == "identity"
    await chatglm.user_info(session)
    assert "content-type" not in upstream.sim.calls[-1].headers, "it has no body"


async def test_the_deep_mode_is_asked_for_as_the_web_application_was_seen_to(
    chatglm: ChatGLM, session: Session, upstream: Upstream
) -> None:
    target = Target(model="glm-5.3-flash", mode="thinking", web_search=True)
    await ask(chatglm, session, "你好", target)
    sent = upstream.chats()[0]
    assert sent == CAPTURED_BODY
    assert json.dumps(sent) == json.dumps(CAPTURED_BODY), "in the same order too"


def test_the_captured_body_is_the_one_that_was_handed_down() -> None:
    shared = Path(__file__).parents[6] / "shared/captures/10_chat_request_body_2026-09-29.json"
    if not shared.exists():
        pytest.skip("the captures lie beside the repository of those who wrote it")
    text = "\n".join(line for line in shared.read_text().splitlines() if not line.startswith("#"))
    assert json.loads(text) == CAPTURED_BODY


@pytest.mark.parametrize(
    ("mode", "chat_mode", "effort"),
    [
        ("fast", "", "low"),
        ("thinking", "thinking", "high"),
        ("deep_thinking", "deep_thinking", "max"),
        ("deep_research", "deep_research", None),
    ],
)
async def test_a_mode_is_spelled_as_the_web_application_spells_it(
    *, chatglm: ChatGLM, session: Session, upstream: Upstream, mode: Any, chat_mode: str, effort: str | None
) -> None:
    await ask(chatglm, session, "Hello!", Target(model="glm-5.3", mode=mode))
    meta = upstream.chats()[0]["meta_data"]
    assert (meta["chat_mode"], meta.get("reasoning_effort")) == (chat_mode, effort)
    assert meta["selected_model"] == "glm-5.3"
    assert meta["is_networking"] is False
    assert upstream.sim.violations == []


async def test_an_agent_is_asked_from_its_own_page(
    chatglm: ChatGLM, session: Session, upstream: Upstream
) -> None:
    raw = await ask(chatglm, session, "Hello!", Target(model="glm-5.3-flash", agent_id=AGENT))
    call = upstream.sim.calls_to("assistant/stream")[0]
    assert call.headers["referer"] == f"https://chatglm.cn/main/gdetail/{AGENT}"
    assert call.json["assistant_id"] == AGENT
    await chatglm.delete_conversation(session, ids_of(raw)[0], AGENT)
    assert upstream.sim.calls[-1].json["assistant_id"] == AGENT
    assert upstream.sim.violations == []


async def test_a_conversation_is_gone_on_with_by_its_id(
    chatglm: ChatGLM, session: Session, upstream: Upstream
) -> None:
    conversation_id, _ = ids_of(await ask(chatglm, session, "Hello!"))
    raw = await ask(chatglm, session, "And again.", conversation_id=conversation_id)
    assert ids_of(raw)[0] == conversation_id
    assert len(upstream.sim.conversations[conversation_id].turns) == 2


async def test_time_and_ids_are_those_that_were_handed_in(
    upstream: Upstream, account: SimulatedAccount
) -> None:
    ids = iter([f"{number:032x}" for number in range(9)])
    upstream.sim.now = lambda: 1_790_732_180.0
    fixed = ChatGLM(config(upstream.base_url), now=lambda: 1_790_732_179.975, new_id=lambda: next(ids))
    try:
        with pytest.raises(AccountRefused):  # its token is not valid yet at that time
            await fixed.refresh(account.token, "d" * 32)
    finally:
        upstream.sim.now = __import__("time").time
        await fixed.aclose()
    headers = upstream.sim.calls[0].headers
    assert headers["x-timestamp"] == "1790732179905", "the check digit of protocol.md §1.4"
    assert {headers["x-request-id"], headers["x-nonce"]} == {f"{0:032x}", f"{1:032x}"}


def test_tokens_are_in_no_representation() -> None:
    assert "eyJ" not in repr(Session("eyJsecret", "device")) + repr(Tokens("eyJa", "eyJb", is_guest=False))


# Refreshing


async def test_a_refresh_gives_both_tokens_and_the_old_one_is_dead(
    chatglm: ChatGLM, upstream: Upstream, account: SimulatedAccount
) -> None:
    device_id = upstream.sim.account(account.uid).device_id
    tokens = await chatglm.refresh(account.token, device_id)
    known = upstream.sim.account(account.uid)
    assert tokens.refresh_token == known.refresh_token != account.token
    assert list(known.access_tokens) == [tokens.access_token]
    assert tokens.is_guest is False
    assert upstream.sim.calls[0].json == {}
    with pytest.raises(AccountRefused) as caught:
        await chatglm.refresh(account.token, device_id)
    assert caught.value.code == "refresh_token_expired"
    assert account.token not in caught.value.message
    assert "used again" in upstream.sim.violations.pop()


async def test_a_guest_is_told_so(chatglm: ChatGLM, upstream: Upstream) -> None:
    guest = upstream.add_account(guest=True)
    device_id = upstream.sim.account(guest.uid).device_id
    assert (await chatglm.refresh(guest.token, device_id)).is_guest is True


@pytest.mark.parametrize("result", [None, {}, {"access_token": 7}, [], "x"])
async def test_a_refresh_without_an_access_token_is_an_error(
    chatglm: ChatGLM, upstream: Upstream, account: SimulatedAccount, result: Any
) -> None:
    upstream.sim.fail("user/refresh", status=200, body={"status": 0, "result": result})
    with pytest.raises(UpstreamProtocolError):
        await chatglm.refresh(account.token, "d" * 32)
    upstream.sim.violations.clear()


async def test_where_no_new_refresh_token_comes_the_old_one_goes_on(
    chatglm: ChatGLM, upstream: Upstream, account: SimulatedAccount
) -> None:
    upstream.sim.fail("user/refresh", status=200, body={"code": 0, "result": {"access_token": "a"}})
    tokens = await chatglm.refresh(account.token, upstream.sim.account(account.uid).device_id)
    assert tokens == Tokens("a", account.token, is_guest=False)


@pytest.mark.parametrize("token", ["令牌", "with\nline", "with space", ""])
async def test_what_no_header_can_carry_is_no_token_and_is_not_sent(
    chatglm: ChatGLM, upstream: Upstream, token: str
) -> None:
    with pytest.raises(AccountRefused):
        await chatglm.refresh(token, "d" * 32)
    assert upstream.sim.calls == []


async def test_an_account_tells_what_it_is(chatglm: ChatGLM, upstream: Upstream, session: Session) -> None:
    assert await chatglm.user_info(session) == UserInfo(is_guest=False, is_blocked=False)
    upstream.sim.block(next(iter(upstream.sim.book)).uid)
    assert await chatglm.user_info(session) == UserInfo(is_guest=False, is_blocked=True)
    upstream.sim.fail("user/info", status=200, body={"status": 0, "result": {"is_guest": True}})
    assert await chatglm.user_info(session) == UserInfo(is_guest=True, is_blocked=False)


@pytest.mark.parametrize(
    "result",
    [
        {"models": None},
        {"models": {"selected_model": "glm-6"}},
        {"models": [{"selected_model": 7}, {"selected_model": ""}, "x", None]},
        [],
        None,
    ],
)
async def test_a_list_without_any_model_is_none(
    chatglm: ChatGLM, upstream: Upstream, session: Session, result: Any
) -> None:
    upstream.sim.fail("operation/detail", status=200, body={"status": 0, "result": result})
    with pytest.raises(UpstreamProtocolError):
        await chatglm.available_models(session)


async def test_the_list_of_models_is_read_as_far_as_it_can_be(
    chatglm: ChatGLM, upstream: Upstream, session: Session
) -> None:
    assert await chatglm.available_models(session) == ("glm-5.3", "glm-5.3-flash")
    models = [{"selected_model": "glm-6"}, {"selected_model": 7}, {"selected_model": ""}, "x", None]
    upstream.sim.fail("operation/detail", status=200, body={"status": 0, "result": {"models": models}})
    assert await chatglm.available_models(session) == ("glm-6",)


@pytest.mark.parametrize("result", [None, [], {}, "x"])
async def test_an_account_that_nothing_is_told_of_is_not_taken_for_a_good_one(
    chatglm: ChatGLM, upstream: Upstream, session: Session, result: Any
) -> None:
    upstream.sim.fail("user/info", status=200, body={"status": 0, "result": result})
    with pytest.raises(UpstreamProtocolError):
        await chatglm.user_info(session)


# Deleting


async def test_where_the_new_path_fails_the_old_one_deletes(
    chatglm: ChatGLM, upstream: Upstream, session: Session
) -> None:
    conversation_id, _ = ids_of(await ask(chatglm, session, "Hello!"))
    upstream.sim.fail("bulk_delete", status=404, body="no such path", content_type="text/html")
    await chatglm.delete_conversation(session, conversation_id, None)
    assert upstream.sim.live_conversations() == []
    assert upstream.sim.calls[-1].path == "backend-api/assistant/conversation/delete"


async def test_a_refused_token_is_no_reason_to_try_the_old_path(
    chatglm: ChatGLM, upstream: Upstream, session: Session
) -> None:
    conversation_id, _ = ids_of(await ask(chatglm, session, "Hello!"))
    upstream.sim.expire_access_tokens()
    with pytest.raises(AccessTokenRefused):
        await chatglm.delete_conversation(session, conversation_id, None)
    assert upstream.count("conversation/delete") == 0


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"disconnect": True}, UpstreamUnreachable),
        ({"status": 429, "body": {"status": 10061, "message": "请求过于频繁"}}, Throttled),
    ],
)
async def test_nor_is_what_the_old_path_would_meet_as_well(
    *,
    chatglm: ChatGLM,
    upstream: Upstream,
    session: Session,
    fault: dict[str, Any],
    error: type[GatewayError],
) -> None:
    conversation_id, _ = ids_of(await ask(chatglm, session, "Hello!"))
    upstream.sim.fail("bulk_delete", **fault)
    with pytest.raises(error):
        await chatglm.delete_conversation(session, conversation_id, None)
    assert upstream.count("conversation/delete") == 0


# Answers that are none


@pytest.mark.parametrize(
    ("scene", "error", "retry"),
    [
        ("busy_429", Throttled, "again"),
        ("throttled_429", Throttled, "elsewhere"),
        ("risk_40012", Throttled, "elsewhere"),
        ("internal_500", UpstreamRejected, "again"),
        ("json_error_200", UpstreamRejected, "again"),
        ("unauthorized_40102", AccessTokenRefused, "never"),
        ("unauthorized_40102_http200", AccessTokenRefused, "never"),
        ("unauthorized_40103", AccessTokenRefused, "never"),
        ("html_403", UpstreamProtocolError, "never"),
        ("html_403 status=405", UpstreamProtocolError, "never"),
        ("html_403 status=502", UpstreamProtocolError, "again"),
        ("html_403 status=429", Throttled, "elsewhere"),
        ("html_200", UpstreamProtocolError, "never"),
    ],
)
async def test_a_refusal_of_a_chat_raises_what_it_means(
    chatglm: ChatGLM, session: Session, scene: str, error: type[GatewayError], retry: str
) -> None:
    with pytest.raises(error) as caught:
        await ask(chatglm, session, f"[scene:{scene}]")
    assert caught.value.retry == retry
    assert "<" not in caught.value.message, "no page is quoted"


@pytest.mark.parametrize(
    ("content_type", "body", "error"),
    [
        ("application/json", {"status": 0, "result": None}, InvalidRequest),
        ("application/json", {"status": 0, "result": {"some": "thing"}}, UpstreamProtocolError),
        ("application/json", b'{"status": 0, "result"', UpstreamProtocolError),
        ("application/json", b'{"status": "\xff"}', UpstreamProtocolError),
        ("text/event-stream", {"status": 40102}, AccessTokenRefused),
        ("", {"status": 10061, "message": "x"}, Throttled),
        ("", b"  <html>", UpstreamProtocolError),
        ("application/json", {"validation_error": {"body_params": []}}, UpstreamProtocolError),
    ],
)
async def test_what_an_answer_is_shows_in_its_body_not_in_its_content_type(
    *,
    chatglm: ChatGLM,
    upstream: Upstream,
    session: Session,
    content_type: str,
    body: Any,
    error: type[GatewayError],
) -> None:
    upstream.sim.fail("assistant/stream", status=200, body=body, content_type=content_type)
    with pytest.raises(error):
        await ask(chatglm, session, "Hello!")


@pytest.mark.parametrize(
    "scene", ["no_content_type", "wrong_content_type", "wrong_content_type type=text/html"]
)
async def test_a_stream_is_taken_under_any_content_type(
    chatglm: ChatGLM, session: Session, scene: str
) -> None:
    assert b"good stream" in (await ask(chatglm, session, f"[scene:{scene}]")).replace(b'"}', b"")


async def test_an_unknown_agent_is_the_callers_mistake(chatglm: ChatGLM, session: Session) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await ask(chatglm, session, "Hello!", Target(model="glm-5.3-flash", agent_id="0" * 24))
    assert caught.value.param == "model"


@pytest.mark.parametrize("call", ["chat", "info"])
async def test_an_answer_without_end_is_not_read_to_its_end(
    chatglm: ChatGLM, upstream: Upstream, session: Session, call: str
) -> None:
    body = b'{"status":0,"result":"' + b"x" * (2 * MAX_ANSWER_BYTES) + b'"}'
    upstream.sim.fail("assistant/stream", status=200, body=body)
    upstream.sim.fail("user/info", status=200, body=body)
    with pytest.raises(UpstreamProtocolError, match="too large"):
        await (ask(chatglm, session, "Hello!") if call == "chat" else chatglm.user_info(session))
    assert connections_of(chatglm) == []


# What is no HTTP, or not in time


@contextmanager
def listening(answer: Callable[[socket.socket], None] | None = None) -> Iterator[str]:
    """A server that takes connections and lets `answer` do the rest, or says nothing at all."""
    import threading

    listener = socket.create_server(("127.0.0.1", 0))
    taken: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            taken.append(connection)
            if answer is not None:
                connection.recv(65536)
                answer(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)
        for connection in taken:
            connection.close()


def answering(raw: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)

    return answer


OK = b"HTTP/1.1 200 OK\r\nconnection: close\r\n"


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", UpstreamUnreachable),
        (b"not HTTP\r\n\r\n", UpstreamUnreachable),
        (OK + b"content-length: 50\r\n\r\n{}", UpstreamUnreachable),
        (OK + b"content-encoding: gzip\r\ncontent-length: 7\r\n\r\nno gzip", UpstreamProtocolError),
        (OK + b"content-encoding: deflate\r\ncontent-length: 7\r\n\r\nno gzip", UpstreamProtocolError),
        (
            b"HTTP/1.1 302 Found\r\nlocation: https://elsewhere/\r\ncontent-length: 0\r\n\r\n",
            UpstreamProtocolError,
        ),
    ],
)
@pytest.mark.parametrize("call", ["chat", "info"])
async def test_whatever_comes_leaves_as_one_of_our_errors(
    raw: bytes, error: type[GatewayError], call: str
) -> None:
    with listening(answering(raw)) as url:
        chatglm, session = ChatGLM(config(url)), Session("a", "d" * 32)
        try:
            with pytest.raises(error):
                await (ask(chatglm, session, "Hello!") if call == "chat" else chatglm.user_info(session))
        finally:
            await chatglm.aclose()


def packed(content: bytes, times: int) -> bytes:
    for _ in range(times):
        content = gzip.compress(content)
    return content


@pytest.mark.parametrize("times", [1, 2])
async def test_an_answer_that_bursts_is_not_unpacked(times: int) -> None:
    """64 MiB of spaces are 65 kB, and packed twice 200 bytes."""
    bomb = packed(b" " * 64 * 1024 * 1024, times)
    encoding = b"content-encoding: " + b", ".join([b"gzip"] * times)
    raw = OK + encoding + b"\r\ncontent-length: %d\r\n\r\n" % len(bomb) + bomb
    with listening(answering(raw)) as url:
        chatglm, session = ChatGLM(config(url)), Session("a", "d" * 32)
        tracemalloc.start()
        try:
            with pytest.raises(UpstreamProtocolError):
                await chatglm.user_info(session)
            assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
        finally:
            tracemalloc.stop()
            await chatglm.aclose()


async def test_a_stream_that_bursts_comes_in_small_pieces() -> None:
    bomb = packed(b" " * 64 * 1024 * 1024, 1)
    raw = OK + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(bomb) + bomb
    with listening(answering(raw)) as url:
        chatglm = ChatGLM(config(url))
        try:
            session = Session("a", "d" * 32)
            stream = await chatglm.start_chat(session, "Hello!", Target(model="glm"), "")
            pieces = [await stream.read() for _ in range(4)]
            await stream.aclose()
        finally:
            await chatglm.aclose()
    assert all(0 < len(piece) <= 65_536 for piece in pieces)


async def test_a_compressed_answer_is_read() -> None:
    body = packed(b'{"status":0,"result":{"is_guest":true}}', 1)
    raw = OK + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    with listening(answering(raw)) as url:
        chatglm = ChatGLM(config(url))
        try:
            assert (await chatglm.user_info(Session("a", "d" * 32))).is_guest
        finally:
            await chatglm.aclose()


async def test_a_refused_connection_is_told(upstream: Upstream) -> None:
    with listening() as url:
        pass
    chatglm = ChatGLM(config(url))
    try:
        with pytest.raises(UpstreamUnreachable) as caught:
            await chatglm.user_info(Session("a", "d" * 32))
        assert caught.value.retry == "again"
    finally:
        await chatglm.aclose()


async def test_a_call_that_is_not_answered_ends() -> None:
    with listening() as url:
        chatglm = ChatGLM(config(url, idle_timeout_s=0.05))
        try:
            with pytest.raises(UpstreamTimeout):
                await chatglm.user_info(Session("a", "d" * 32))
        finally:
            await chatglm.aclose()


async def test_an_answer_in_a_hundred_thousand_pieces_is_one_answer() -> None:
    body = b'{"status":0,"result":{"is_guest":true}}'.rjust(100_000)
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    with listening(answering(OK + b"transfer-encoding: chunked\r\n\r\n" + chunks)) as url:
        chatglm = ChatGLM(config(url))
        try:
            info = await chatglm.user_info(Session("a", "d" * 32))
        finally:
            await chatglm.aclose()
    assert info == UserInfo(is_guest=True, is_blocked=False)


async def test_a_chat_that_is_cancelled_while_it_waits_closes_its_connection(
    chatglm: ChatGLM, upstream: Upstream, session: Session
) -> None:
    upstream.sim.linger_s = 0.0
    asking = asyncio.ensure_future(ask(chatglm, session, "[scene:silence_after_headers]"))
    while not upstream.sim.active_generations():  # noqa: ASYNC110 - the simulator is in another thread
        await asyncio.sleep(0.002)
    asking.cancel()
    await asyncio.wait({asking})
    assert asking.cancelled()
    assert connections_of(chatglm) == []


async def test_a_stream_that_breaks_is_told_where_it_is_read(chatglm: ChatGLM, session: Session) -> None:
    stream = await chatglm.start_chat(session, "[scene:abort hard=1]", TARGET, "")
    with pytest.raises(UpstreamUnreachable):
        await read_all(stream)
    with pytest.raises(UpstreamUnreachable):
        await ask(chatglm, session, "[scene:abort_first]")


async def test_connections_are_kept_for_the_next_call(
    chatglm: ChatGLM, session: Session, upstream: Upstream
) -> None:
    await ask(chatglm, session, "Hello!")
    await chatglm.user_info(session)
    assert len(connections_of(chatglm)) == 1


class Sent(httpx.AsyncByteStream):
    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content


async def test_a_cookie_of_one_account_comes_with_no_other_call(chatglm: ChatGLM) -> None:
    sent: list[httpx.Headers] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers)
        headers = {"set-cookie": "session=of-the-first; Path=/"}
        return httpx.Response(200, stream=Sent(b'{"status":0,"result":{"is_guest":false}}'), headers=headers)

    chatglm._http._transport = httpx.MockTransport(answer)
    for token in ("first", "second"):
        await chatglm.user_info(Session(token, "device"))
    assert [headers.get("cookie") for headers in sent] == [None, None]
