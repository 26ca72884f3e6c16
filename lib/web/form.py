"""Reading what may be JSON or a multipart form: short texts into memory, files into temporary ones."""

from __future__ import annotations

from contextlib import ExitStack
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import IO, Self

from starlette.requests import Request

from lib.errors import InvalidRequest, RequestTooLarge
from lib.web.body import read_body

MAX_FIELDS = 64
MAX_FIELD_BYTES = 1024 * 1024
"""Of one text; a data URL may be one."""
SPOOL_BYTES = 1024 * 1024
"""A file stays in memory up to here."""


class Form:
    """A form's fields, or the JSON that came in its place; closes its files."""

    def __init__(self, json: bytes | None = None) -> None:
        self.json = json
        self.texts: dict[str, str] = {}
        self.files: dict[str, IO[bytes]] = {}
        self._resources = ExitStack()

    def add_file(self, name: str) -> IO[bytes]:
        file = SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115 - the form closes it
        self._resources.callback(file.close)
        self.files[name] = file
        return file

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._resources.close()


async def read_form(request: Request, *, limit: int) -> Form:
    """Return the form, which the caller closes; of several fields of one name the last counts."""
    if not request.headers.get("content-type", "").lower().lstrip().startswith("multipart/form-data"):
        return Form(await read_body(request, limit=limit))
    # Here, because nothing but this one endpoint needs it.
    from multipart import MultipartError, ParserLimitReached  # type: ignore[import-untyped]

    form = Form()
    try:
        await _read_into(form, request, limit)
    except BaseException as error:
        form.__exit__(None, None, None)
        if isinstance(error, ParserLimitReached):
            raise RequestTooLarge("The form is larger than what is accepted here.") from error
        if isinstance(error, MultipartError | UnicodeDecodeError):
            raise InvalidRequest(f"The body is not a valid form: {error}.", code="invalid_form") from error
        raise
    return form


async def _read_into(form: Form, request: Request, limit: int) -> None:
    from multipart import MultipartSegment, PushMultipartParser, parse_options_header

    _, options = parse_options_header(request.headers["content-type"])
    text = bytearray()
    file: IO[bytes] | None = None
    name, size = "", 0
    with PushMultipartParser(
        options.get("boundary", ""), max_segment_count=MAX_FIELDS, max_segment_size=limit
    ) as parser:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise RequestTooLarge(f"The body is larger than the {limit} bytes that are accepted here.")
            for piece in parser.parse(chunk):
                if isinstance(piece, MultipartSegment):
                    name, text = piece.name or "", bytearray()
                    file = form.add_file(name) if piece.filename is not None else None
                elif not piece:  # the field is complete
                    if file is None:
                        form.texts[name] = text.decode()
                    else:
                        file.seek(0)
                elif file is not None:
                    file.write(piece)
                else:
                    text += piece
                    if len(text) > MAX_FIELD_BYTES:
                        raise RequestTooLarge(f"The field {name[:40]!r} is too long.")
