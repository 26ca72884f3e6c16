"""Uploads over a real socket, against the simulator; and against answers that it does not give."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import IO, Any

import pytest

from lib.errors import (
    AccessTokenRefused,
    GatewayError,
    InvalidRequest,
    RequestTooLarge,
    Throttled,
    UpstreamProtocolError,
    UpstreamRejected,
)
from lib.upstreams.chatglm.wire.client import ChatGLM, Session
from lib.upstreams.chatglm.wire.models import Target
from lib.upstreams.chatglm.wire.protocol import FileReference, chat_body
from lib.upstreams.chatglm.wire.uploads import Upload, upload_file
from simulator.app import Simulator
from tests.conftest import SimulatedAccount, Upstream
from tests.support.chatglm import config

pytestmark = pytest.mark.anyio

NEW, OLD = "file/chat_upload", "assistant/file_upload"
AGENT = "65c046a531d3fcb034918abe"
GONE: dict[str, Any] = {"status": 404, "body": {"status": 404, "message": "not found", "result": None}}
REFUSED: dict[str, Any] = {
    "status": 200,
    "body": {"status": 60001, "message": "文件格式不支持", "result": None},
}


@dataclass
class Bytes:
    data: bytes
    is_in_memory: bool = True

    def __post_init__(self) -> None:
        self.file: IO[bytes] = io.BytesIO(self.data)
        self.file.read(1)  # wherever it stands, it is sent from its start
        self.size = len(self.data)


def upload(data: bytes = b"words", name: str = "a.txt", *, is_image: bool = False, **options: Any) -> Upload:
    content_type = "image/png" if is_image else "text/plain"
    return Upload(content=Bytes(data, **options), name=name, content_type=content_type, is_image=is_image)


@pytest.fixture
async def chatglm(upstream: Upstream) -> AsyncIterator[ChatGLM]:
    client = ChatGLM(config(upstream.base_url))
    yield client
    await client.aclose()


@pytest.fixture
async def session(chatglm: ChatGLM, account: SimulatedAccount, sim: Simulator) -> Session:
    device_id = sim.account(account.uid).device_id
    tokens = await chatglm.refresh(account.token, device_id)
    return Session(tokens.access_token, device_id)


@pytest.mark.parametrize("name", ["a.txt", "报告 (1).txt", "it's.txt"])
@pytest.mark.parametrize("in_memory", [True, False])
async def test_a_file_arrives_as_it_is(
    chatglm: ChatGLM, session: Session, sim: Simulator, name: str, in_memory: bool
) -> None:
    data = bytes(range(256)) * 4000 + b"\r\n--x--\r\n"
    reference = await upload_file(chatglm, session, upload(data, name, is_in_memory=in_memory), None)
    (stored,) = sim.files.values()
    assert (stored.name, stored.size, stored.sha256) == (name, len(data), hashlib.sha256(data).hexdigest())
    assert reference == FileReference(
        file_id=stored.id, url=stored.url, name=name, size=len(data), is_image=False
    )
    (call,) = sim.calls_to(NEW)
    assert call.json["from"] == "chat"
    assert call.json["assistant_id"] == "65940acff94777010aa6b796"
    assert int(call.headers["content-length"]) > len(data)


async def test_a_name_that_would_end_its_own_quotes(
    chatglm: ChatGLM, session: Session, sim: Simulator
) -> None:
    await upload_file(chatglm, session, upload(name='a"b.txt'), None)
    assert [stored.name for stored in sim.files.values()] == ['a"b.txt']


async def test_another_agents_file_is_uploaded_for_it(
    chatglm: ChatGLM, session: Session, sim: Simulator
) -> None:
    await upload_file(chatglm, session, upload(), AGENT)
    assert sim.calls_to(NEW)[0].json["assistant_id"] == AGENT


@pytest.mark.parametrize(
    "fault",
    [
        GONE,
        REFUSED,
        {"status": 405, "body": "<html>", "content_type": "text/html"},
        {"status": 404, "body": b"", "content_type": "text/html"},
        {"status": 400, "body": {"status": 60001, "message": "?"}},
        {"status": 200, "body": {"status": 0, "result": None}},
        {"status": 200, "body": {"status": 0, "result": []}},
        {"status": 200, "body": {"status": 0, "result": {"file_url": "x"}}},
    ],
)
async def test_the_older_path_mends_what_may_be_the_newers_alone(
    chatglm: ChatGLM, session: Session, sim: Simulator, fault: dict[str, Any]
) -> None:
    sim.fail(NEW, **fault)
    reference = await upload_file(chatglm, session, upload(), None)
    assert [stored.path for stored in sim.files.values()] == [f"backend-api/{OLD}"]
    assert reference.file_id in sim.files
    assert set(sim.calls_to(OLD)[0].json) == {"file"}


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        ({"status": 500, "body": {"status": 500, "message": "broken"}}, UpstreamRejected, "500: broken"),
        ({"status": 502, "body": "<html>", "content_type": "text/html"}, UpstreamProtocolError, "HTTP 502"),
        ({"status": 403, "body": "<html>", "content_type": "text/html"}, UpstreamProtocolError, "HTTP 403"),
        ({"status": 200, "body": "<html>", "content_type": "text/html"}, UpstreamProtocolError, "text/html"),
        ({"status": 401, "body": {"status": 40102, "message": "x"}}, AccessTokenRefused, "40102"),
        ({"status": 429, "body": {"status": 10061, "message": "x"}}, Throttled, "10061"),
        ({"status": 400, "body": {"status": 40001, "message": "x"}}, UpstreamRejected, "signature"),
        (
            {"status": 413, "body": "<html>", "content_type": "text/html"},
            RequestTooLarge,
            "'a.txt' is too large",
        ),
        (
            {"status": 415, "body": {"status": 1}},
            InvalidRequest,
            "does not accept files of the type of 'a.txt'",
        ),
    ],
)
async def test_what_the_older_path_cannot_mend_is_said_at_once(
    chatglm: ChatGLM,
    session: Session,
    sim: Simulator,
    *,
    fault: dict[str, Any],
    error: type[GatewayError],
    words: str,
) -> None:
    sim.fail(NEW, **fault)
    with pytest.raises(error, match=words):
        await upload_file(chatglm, session, upload(), None)
    assert sim.calls_to(OLD) == []


async def test_where_both_refuse_the_newers_words_are_told(
    chatglm: ChatGLM, session: Session, sim: Simulator
) -> None:
    sim.fail(NEW, **REFUSED)
    sim.fail(OLD, **GONE)
    with pytest.raises(UpstreamRejected, match="60001: 文件格式不支持"):
        await upload_file(chatglm, session, upload(), None)


async def test_a_token_that_the_older_path_refuses_can_still_be_renewed(
    chatglm: ChatGLM, session: Session, sim: Simulator
) -> None:
    sim.fail(NEW, **GONE)
    sim.fail(OLD, status=401, body={"status": 40102, "message": "unauthorized user(40102)"})
    with pytest.raises(AccessTokenRefused):
        await upload_file(chatglm, session, upload(), None)


@pytest.mark.parametrize(
    ("result", "is_image", "expected"),
    [
        ({"file_id": 7, "file_url": "u"}, False, ("7", "u")),
        ([{"source_id": "s", "file_url": "u"}], True, ("s", "u")),
        ({"file_id": "f"}, False, ("f", "")),
        ({"file_id": "f", "file_url": None, "image_url": "i"}, True, ("f", "i")),
        ({"file_id": "f"}, True, None),
        ({"file_id": ["f"]}, False, None),
        ("f", False, None),
        ([7], False, None),
    ],
)
async def test_every_form_of_an_answer(
    chatglm: ChatGLM, session: Session, sim: Simulator, *, result: Any, is_image: bool, expected: Any
) -> None:
    for path in (NEW, OLD):
        sim.fail(path, status=200, body={"status": 0, "result": result})
    if expected is None:
        with pytest.raises(UpstreamProtocolError, match="without naming the file"):
            await upload_file(chatglm, session, upload(is_image=is_image), None)
        return
    reference = await upload_file(chatglm, session, upload(is_image=is_image), None)
    assert (reference.file_id, reference.url) == expected


async def test_a_large_file_is_read_piece_by_piece_aside(chatglm: ChatGLM, session: Session) -> None:
    pieces: list[tuple[int, bool]] = []

    class Watched(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            pieces.append((size or 0, threading.current_thread() is threading.main_thread()))
            return super().read(size)

    content = Bytes(bytes(1_000_000), is_in_memory=False)
    content.file = Watched(content.data)
    await upload_file(
        chatglm, session, Upload(content=content, name="a.bin", content_type="a/b", is_image=False), None
    )
    assert len(pieces) == 5
    assert set(pieces) == {(256 * 1024, False)}


async def test_an_upload_that_nobody_answers_is_left(
    chatglm: ChatGLM, session: Session, sim: Simulator
) -> None:
    sim.fail(NEW, delay_s=0.2)
    uploading = asyncio.ensure_future(upload_file(chatglm, session, upload(), None))
    await asyncio.sleep(0.05)
    uploading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await uploading


def test_references_stand_behind_the_text_images_first() -> None:
    def reference(name: str, *, is_image: bool) -> FileReference:
        return FileReference(file_id=f"id-{name}", url=f"u-{name}", name=name, size=3, is_image=is_image)

    files = (
        reference("a.pdf", is_image=False),
        reference("b.png", is_image=True),
        reference("c.png", is_image=True),
    )
    body = json.loads(chat_body("p", Target(model="m"), assistant_id="a", conversation_id="", files=files))
    numbered = [
        {"file_id": f"id-{name}", "file_name": name, "file_size": 3, "order": order}
        for name, order in [("b.png", 0), ("c.png", 1), ("a.pdf", 0)]
    ]
    size = {"width": 0, "height": 0}
    assert body["messages"][0]["content"] == [
        {"type": "text", "text": "p"},
        {
            "type": "image",
            "image": [
                {**numbered[0], "image_url": "u-b.png", **size},
                {**numbered[1], "image_url": "u-c.png", **size},
            ],
        },
        {"type": "file", "file": [{**numbered[2], "file_url": "u-a.pdf"}]},
    ]
