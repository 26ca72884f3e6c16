"""The files of a request, with a fetcher and an upstream that are told what to do."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lib.chat.request import Attachment, FilePart, ImagePart
from lib.errors import GatewayError, InvalidRequest, UpstreamRejected
from lib.files.fetcher import FetchedFile
from lib.files.spool import Spool
from lib.upstreams.chatglm.accounts.account import Account, parse_account
from lib.upstreams.chatglm.accounts.client import AccountClient
from lib.upstreams.chatglm.accounts.tokens import AccessTokens
from lib.upstreams.chatglm.files import AT_ONCE, MAX_FILES, RequestFiles
from lib.upstreams.chatglm.gateway import Gateway
from lib.upstreams.chatglm.wire.client import ChatGLM
from tests.bench import document

pytestmark = pytest.mark.anyio

ONE, TWO = parse_account("one"), parse_account("two")


class Fakes:
    """A gateway, as far as files know it: `https://x/NAME` is a file with the bytes NAME."""

    def __init__(self) -> None:
        self.fetched: list[str] = []
        self.uploaded: list[tuple[str, str]] = []
        self.open_files: list[FetchedFile] = []
        self.at_once = self.most_at_once = 0
        self.fail: Callable[[str], GatewayError | None] = lambda _: None
        settings = SimpleNamespace(max_file_bytes=1000)
        self.gateway = cast(Gateway, SimpleNamespace(fetcher=self, settings=settings))
        self.assistant_id = "main"

    @asynccontextmanager
    async def fetch(self, url: str, *, max_bytes: int) -> AsyncIterator[FetchedFile]:
        await self._work(url)
        self.fetched.append(url)
        spool = Spool(max_bytes)
        spool.write_now(url.rpartition("/")[2].encode())
        file = spool.finish_now(content_type="", name="x.txt")
        self.open_files.append(file)
        try:
            yield file
        finally:
            file.close()

    def client(self, account: Account) -> AccountClient:
        return AccountClient(account, cast(AccessTokens, self), cast(ChatGLM, self))

    async def get(self, account: Account) -> str:
        """The access token, as far as files know it."""
        return account.label

    async def send_stream(
        self, path: str, session: Any, content: Callable[[], AsyncIterator[bytes]], **_: Any
    ) -> dict[str, str]:
        body = b"".join([piece async for piece in content()])
        name = body.split(b"\r\n\r\n")[-1].partition(b"\r\n")[0].decode()
        await self._work(f"upload {name}")
        self.uploaded.append((session.access_token, name))
        return {"file_id": f"{session.access_token}-{name}", "file_url": "u"}

    async def _work(self, what: str) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0)
            if error := self.fail(what):
                raise error
        finally:
            self.at_once -= 1


def part(name: str, param: str | None = None) -> FilePart:
    return FilePart(f"https://x/{name}", f"{name}.txt", param)


def request_files(fakes: Fakes, *parts: Attachment) -> RequestFiles:
    return RequestFiles(fakes.gateway, parts, None)


async def test_files_are_fetched_and_uploaded_three_at_a_time_in_their_order() -> None:
    fakes = Fakes()
    files = request_files(fakes, *[part(str(number)) for number in range(10)])
    await files.fetch()
    assert fakes.most_at_once == AT_ONCE
    fakes.most_at_once = 0
    references = await files.uploaded_to(fakes.client(ONE))
    assert fakes.most_at_once == AT_ONCE
    assert [file.name for file in references] == [f"{number}.txt" for number in range(10)]
    assert [file.file_id for file in references] == [f"{ONE.label}-{number}" for number in range(10)]
    await files.aclose()
    assert all(file.file.closed for file in fakes.open_files)


async def test_the_same_address_is_fetched_once_and_the_same_content_uploaded_once() -> None:
    fakes = Fakes()
    other_address = FilePart("https://x/mirror/a", "mirror.txt")
    files = request_files(fakes, part("a"), part("b"), part("a"), other_address)
    await files.fetch()
    assert fakes.fetched == ["https://x/a", "https://x/b", "https://x/mirror/a"]
    assert [file.name for file in await files.uploaded_to(fakes.client(ONE))] == ["a.txt", "b.txt"]
    assert await files.uploaded_to(fakes.client(ONE)) == await files.uploaded_to(fakes.client(ONE))
    await files.uploaded_to(fakes.client(TWO))
    assert sorted(fakes.uploaded) == sorted(
        [(ONE.label, "a"), (ONE.label, "b"), (TWO.label, "a"), (TWO.label, "b")]
    )
    await files.aclose()


async def test_what_was_uploaded_before_a_failure_is_not_uploaded_again() -> None:
    fakes = Fakes()
    files = request_files(fakes, *[part(str(number)) for number in range(5)])
    await files.fetch()
    fakes.fail = lambda what: UpstreamRejected("no", retry="again") if what == "upload 3" else None
    with pytest.raises(UpstreamRejected) as failed:
        await files.uploaded_to(fakes.client(ONE))
    assert failed.value.retry == "elsewhere"
    fakes.fail = lambda _: None
    await files.uploaded_to(fakes.client(ONE))
    assert len(fakes.uploaded) == len(set(fakes.uploaded)) == 5
    await files.aclose()


async def test_the_first_file_that_cannot_be_had_ends_the_others() -> None:
    fakes = Fakes()
    fakes.fail = lambda what: InvalidRequest("gone", code="invalid_file") if what.endswith("/1") else None
    files = request_files(fakes, *[part(str(number), f"here[{number}]") for number in range(20)])
    with pytest.raises(InvalidRequest, match="gone") as failed:
        await files.fetch()
    assert failed.value.param == "here[1]"
    assert len(fakes.fetched) < 5
    await files.aclose()
    assert all(file.file.closed for file in fakes.open_files)


async def test_an_image_must_be_one() -> None:
    fakes = Fakes()
    files = request_files(fakes, part("words"), ImagePart("https://x/words", "here"))
    with pytest.raises(InvalidRequest, match=r"Expected an image, got text/plain\.") as failed:
        await files.fetch()
    assert failed.value.param == "here"
    await files.aclose()


async def test_there_is_a_limit() -> None:
    fakes = Fakes()
    many = request_files(fakes, *[part(str(number)) for number in range(MAX_FILES + 1)])
    with pytest.raises(InvalidRequest, match="at most 50 files"):
        await many.fetch()
    assert fakes.fetched == []
    assert not request_files(fakes)
    assert request_files(fakes, part("a"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of another process")
def test_a_large_document_is_never_held_in_memory() -> None:
    """30 MB by its address; tests/bench/document.py has the figures for 90 MB."""
    report = document.measure(is_quick=True)
    assert report.aims[0].is_met, str(report)
