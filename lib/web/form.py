"""Read a body that is JSON or a multipart form: its texts into memory, its files into temporary files."""

from __future__ import annotations

from contextlib import ExitStack
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import IO, Any, Self

from starlette.requests import Request

from lib.errors import InvalidRequest, RequestTooLarge
from lib.web.body import read_body, take_body

MAX_FIELDS = 64
MAX_FIELD_BYTES = 1024 * 1024
"""One text may be this long, because it may be a data URL."""
SPOOL_BYTES = 1024 * 1024
"""A file up to this size stays in memory."""
MAX_BOUNDARY_CHARS = 70
"""RFC 2046 sets this limit. The parser compares the whole boundary with every piece of the body."""


class Form:
    """The fields of a form, or the JSON body in its place. It closes its files."""

    def __init__(self, json: bytes | None = None) -> None:
        self.json = json
        self.texts: dict[str, str] = {}
        self.files: dict[str, IO[bytes]] = {}
        self.file_names: dict[str, str] = {}
        """The names that the client gave to the files. They may be empty."""
        self._resources = ExitStack()

    def add_file(self, name: str, file_name: str) -> IO[bytes]:
        file = SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115 - the form closes it
        self._resources.callback(file.close)
        self.files[name] = file
        self.file_names[name] = file_name
        return file

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._resources.close()


async def read_form(request: Request, *, limit: int) -> Form:
    """Return the form; the caller closes it. If several fields have one name, the last one counts."""
    if not request.headers.get("content-type", "").lower().lstrip().startswith("multipart/form-data"):
        return Form(await read_body(request, limit=limit))
    # The import stands here because only this endpoint needs it.
    from multipart import MultipartError, ParserLimitReached  # type: ignore[import-untyped]

    form = Form()
    try:
        await _read_into(form, request, limit)
    except BaseException as error:
        form.__exit__(None, None, None)
        if isinstance(error, ParserLimitReached):
            raise RequestTooLarge(
                f"Expected a form of at most {MAX_FIELDS} fields and {limit} bytes, got a larger one."
            ) from error
        if isinstance(error, UnicodeDecodeError):
            raise _invalid("a text is not UTF-8") from error
        if isinstance(error, MultipartError):
            raise _invalid(str(error.args[0])) from error  # The other arguments may quote the body.
        raise
    return form


def _invalid(reason: str) -> InvalidRequest:
    return InvalidRequest(f"The body is not a valid form: {reason}.", code="invalid_form")


async def _read_into(form: Form, request: Request, limit: int) -> None:
    from multipart import PushMultipartParser, parse_options_header

    _, options = parse_options_header(request.headers["content-type"])
    boundary = options.get("boundary", "")
    if len(boundary) > MAX_BOUNDARY_CHARS:
        raise _invalid(f"its boundary is longer than {MAX_BOUNDARY_CHARS} characters")
    with PushMultipartParser(boundary, max_segment_count=MAX_FIELDS, max_segment_size=limit) as parser:
        fields = _Fields(form)

        def take(chunk: bytes) -> None:
            for piece in parser.parse(chunk):
                fields.take(piece)

        await take_body(request, take, limit=limit)


class _Fields:
    """Puts the parser's results into the form."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._name = ""
        self._text = bytearray()
        self._file: IO[bytes] | None = None

    def take(self, piece: Any) -> None:
        if piece is None:
            self._complete()
        elif not isinstance(piece, bytes | bytearray):  # A field begins.
            self._name, self._text = piece.name or "", bytearray()
            name = piece.filename
            self._file = None if name is None else self._form.add_file(self._name, name)
        elif self._file is not None:
            self._file.write(piece)
        else:
            self._text += piece
            if len(self._text) > MAX_FIELD_BYTES:
                raise RequestTooLarge(
                    f"Expected at most {MAX_FIELD_BYTES} bytes in the field {self._name[:40]!r}, got more."
                )

    def _complete(self) -> None:
        if self._file is None:
            self._form.texts[self._name] = self._text.decode()
        else:
            self._file.seek(0)
