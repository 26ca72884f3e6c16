"""Uploads a file for a chat: by the endpoint of 2026, or by the older one."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import IO, Any, Protocol

import msgspec

from lib.errors import (
    AccessTokenRefused,
    GatewayError,
    InvalidRequest,
    RequestTooLarge,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from lib.upstreams.chatglm.wire import refusals
from lib.upstreams.chatglm.wire.client import ChatGLM, Session
from lib.upstreams.chatglm.wire.protocol import FileReference

CHAT_UPLOAD = "/productivity-api/file/chat_upload"
UPLOAD_2025 = "/backend-api/assistant/file_upload"

UPLOAD_TIMEOUT_S = 300.0
"""100 MB at 3 Mbit/s take so long."""
READ_BYTES = 256 * 1024


class Content(Protocol):
    """The bytes of a file. Each upload reads them from the start."""

    file: IO[bytes]
    size: int

    @property
    def is_in_memory(self) -> bool:
        """Tell whether a read returns without waiting for a disk."""


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """A file, with its name and its type for the upstream."""

    content: Content
    name: str
    content_type: str
    is_image: bool


class _NoReference(UpstreamProtocolError):
    """The upstream answered an upload with a success that names no file."""


async def upload_file(
    upstream: ChatGLM, session: Session, upload: Upload, agent_id: str | None
) -> FileReference:
    """Upload once. Take the older path only if the newer one seems to be gone, or names no file."""
    fields = {"from": "chat", "assistant_id": agent_id or upstream.assistant_id}
    try:
        return _reference(await _send(upstream, session, CHAT_UPLOAD, upload, fields), upload)
    except GatewayError as error:
        if not isinstance(error, _NoReference) and not refusals.may_be_the_paths(error):
            raise
        refusal = error
    try:
        return _reference(await _send(upstream, session, UPLOAD_2025, upload, {}), upload)
    except (AccessTokenRefused, UpstreamUnreachable, UpstreamTimeout):
        raise
    except GatewayError:
        raise refusal from None  # The newer path's refusal says more.


async def _send(
    upstream: ChatGLM, session: Session, path: str, upload: Upload, fields: Mapping[str, str]
) -> Any:
    boundary = f"----WebKitFormBoundary{uuid.uuid4().hex[:16]}"
    head = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    head += (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{_escaped(upload.name)}"\r\n'
        f"Content-Type: {upload.content_type}\r\n\r\n"
    )
    opening, closing = head.encode(), f"\r\n--{boundary}--\r\n".encode()
    try:
        return await upstream.send_stream(
            path,
            session,
            lambda: _form(opening, upload.content, closing),
            content_type=f"multipart/form-data; boundary={boundary}",
            content_length=len(opening) + upload.content.size + len(closing),
            timeout_s=UPLOAD_TIMEOUT_S,
        )
    except UpstreamError as error:
        if (fault := _fault_of(upload, error)) is not None:
            raise fault from error
        raise


async def _form(opening: bytes, content: Content, closing: bytes) -> AsyncIterator[bytes]:
    yield opening
    content.file.seek(0)
    while piece := await _read(content):
        yield piece
    yield closing


async def _read(content: Content) -> bytes:
    if content.is_in_memory:
        return content.file.read(READ_BYTES)
    return await asyncio.to_thread(content.file.read, READ_BYTES)


def _escaped(name: str) -> str:
    """Write a name as browsers do (WHATWG, multipart/form-data): in UTF-8, line breaks and quotes escaped."""
    return name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")


def _fault_of(upload: Upload, error: UpstreamError) -> InvalidRequest | None:
    """Return the fault of the file if the status of the answer is about that."""
    match error.http_status:
        case 413:
            return RequestTooLarge(f"The file {upload.name!r} is too large for the upstream.")
        case 415:
            return InvalidRequest(
                f"The upstream does not accept files of the type of {upload.name!r}.", code="invalid_file"
            )
    return None


def _reference(result: Any, upload: Upload) -> FileReference:
    """Read the result: an object, or a list of one object (2026)."""
    if isinstance(result, list) and result:
        result = result[0]
    fields = result if isinstance(result, dict) else {}
    file_id, url = _first(fields, "file_id", "source_id"), _first(fields, "file_url", "image_url", "url")
    if not file_id or (upload.is_image and not url):
        raise _NoReference("The upstream answered an upload without naming the file.", retry="elsewhere")
    return FileReference(
        file_id=file_id, url=url, name=upload.name, size=upload.content.size, is_image=upload.is_image
    )


def _first(fields: dict[str, Any], *names: str) -> str:
    values = (fields.get(name) for name in names)
    return next((str(value) for value in values if isinstance(value, str | int) and value), "")
