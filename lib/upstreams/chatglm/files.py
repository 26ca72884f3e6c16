"""The files of a request: fetched once, and uploaded once to each account that is tried."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AsyncExitStack

import msgspec

from lib.chat.request import Attachment, FilePart, ImagePart
from lib.errors import GatewayError, InvalidRequest
from lib.files.fetcher import FetchedFile
from lib.files.kinds import SAMPLE_BYTES, Kind, name_as, recognize
from lib.files.names import safe_name
from lib.tasks import each
from lib.upstreams.chatglm.accounts.client import AccountClient
from lib.upstreams.chatglm.gateway import Gateway
from lib.upstreams.chatglm.wire.protocol import FileReference
from lib.upstreams.chatglm.wire.uploads import Upload, upload_file

AT_ONCE = 3
"""So many files are fetched or uploaded side by side; a browser's window does about as many."""
MAX_FILES = 50
"""A request may name so many: each may take a place on disk, and costs a call of the upstream."""


class _Had(msgspec.Struct, frozen=True):
    """A file that was fetched."""

    part: Attachment
    file: FetchedFile
    upload: Upload


class RequestFiles:
    """The files of one reply. The reply closes them."""

    def __init__(self, gateway: Gateway, parts: Iterable[Attachment], agent_id: str | None) -> None:
        self._gateway = gateway
        self._agent_id = agent_id
        # The same address names the same file; named as an image, it is held to be one.
        unique: dict[tuple[type, str], Attachment] = {}
        for part in parts:
            unique.setdefault((type(part), part.url), part)
        self._parts = list(unique.values())
        self._open_files = AsyncExitStack()
        self._had: dict[str, _Had] = {}
        self._references: dict[str, dict[str, FileReference]] = {}

    def __bool__(self) -> bool:
        return bool(self._parts)

    async def aclose(self) -> None:
        await self._open_files.aclose()

    async def fetch(self) -> None:
        """Fetch them all; if one fails, raise InvalidRequest with its place in the request."""
        if len(self._parts) > MAX_FILES:
            raise InvalidRequest(
                f"expected at most {MAX_FILES} files in one request, got {len(self._parts)}", param="messages"
            )
        for had in await each(self._parts, self._fetch_one, at_once=AT_ONCE):
            self._had.setdefault(had.file.digest, had)

    async def uploaded_to(self, client: AccountClient) -> tuple[FileReference, ...]:
        """Upload the files that this account lacks; return all references, in the request's order."""
        known = self._references.setdefault(client.account.label, {})

        async def upload_one(digest: str) -> None:
            known[digest] = await self._upload_one(self._had[digest], client)

        await each([digest for digest in self._had if digest not in known], upload_one, at_once=AT_ONCE)
        return tuple(known[digest] for digest in self._had)

    async def _fetch_one(self, part: Attachment) -> _Had:
        gateway = self._gateway
        try:
            # One task enters it, another one closes it with the request: it allows that.
            file = await self._open_files.enter_async_context(
                gateway.fetcher.fetch(part.url, max_bytes=gateway.settings.max_file_bytes)
            )
            return _recognized(part, file)
        except InvalidRequest as error:
            raise error.at(part.param) from error

    async def _upload_one(self, had: _Had, client: AccountClient) -> FileReference:
        try:
            return await client.call(upload_file, had.upload, self._agent_id)
        except InvalidRequest as error:
            raise error.at(had.part.param) from error
        except GatewayError as error:
            if error.retry != "again":
                raise
            # The account may have taken the file all the same: not a second time there.
            raise error.retrying("elsewhere") from error


def _recognized(part: Attachment, file: FetchedFile) -> _Had:
    """Recognise the file; refuse another kind of file under the name of an image."""
    name = part.name if isinstance(part, FilePart) and part.name else file.name
    kind = _kind_of(file, name)
    if isinstance(part, ImagePart) and not kind.is_image:
        raise InvalidRequest(f"Expected an image, got {kind.mime}.", code="invalid_file")
    upload = Upload(
        content=file, name=name_as(safe_name(name), kind), content_type=kind.mime, is_image=kind.is_image
    )
    return _Had(part, file, upload)


def _kind_of(file: FetchedFile, name: str) -> Kind:
    head = file.file.read(SAMPLE_BYTES)
    file.file.seek(max(0, file.size - SAMPLE_BYTES))
    tail = file.file.read(SAMPLE_BYTES)
    file.file.seek(0)
    return recognize(head, tail=tail, declared=file.content_type, name=name)
