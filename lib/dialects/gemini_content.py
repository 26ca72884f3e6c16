"""Contents in Google's form: a role and a list of parts. Each part holds one kind of data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import msgspec

from lib.chat.request import FilePart, ImagePart, Message, Part, Role, TextPart, ToolCall
from lib.dialects.json_body import invalid_value, missing_field, unsupported

_ROLES: dict[str, Role] = {
    "user": "user",
    "model": "assistant",
    "function": "user",  # Its parts are results of functions; so the first SDKs sent them.
    "system": "system",
}
_RESULT_KEYS = ("output", "result", "error")
"""A response with one of these alone is that value: Google documents `output`, its SDKs write `result`."""
_NAMED_KEYS = ("content", "error")
"""The AI SDK (4.0 of its google provider) writes the function's name beside one of these."""

_encode = msgspec.json.Encoder().encode


class Blob(msgspec.Struct, rename="camel"):
    mime_type: str | None = None
    data: str | None = None
    display_name: str | None = None


class FileData(msgspec.Struct, rename="camel"):
    mime_type: str | None = None
    file_uri: str | None = None
    display_name: str | None = None


class FunctionCall(msgspec.Struct):
    name: str | None = None
    id: str | None = None
    args: dict[str, Any] | None = None


class FunctionResponse(msgspec.Struct):
    name: str | None = None
    id: str | None = None
    response: Any = None
    parts: list[WirePart] | None = None
    """Images and files that belong to the result."""


class ExecutableCode(msgspec.Struct):
    language: str | None = None
    code: str | None = None


class CodeExecutionResult(msgspec.Struct):
    output: str | None = None


class WirePart(msgspec.Struct, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None
    executable_code: ExecutableCode | None = None
    code_execution_result: CodeExecutionResult | None = None


class Content(msgspec.Struct):
    parts: list[WirePart] | WirePart | None = None
    """Google takes one part in place of a list of one, and so do its own examples."""
    role: str | None = None


Contents = list[Content] | Content | str


def read_contents(wire: Contents, param: str) -> Iterator[Message]:
    """Read messages. Contents of the model that touch are one turn: Google's SDKs keep one for each chunk."""
    calls = _Calls()
    placed = [(f"{param}[{index}]", content) for index, content in enumerate(_listed(wire))]
    for role, run in groupby(placed, key=lambda at: _role(at[1], at[0])):
        if role == "assistant":
            numbered = [part for place, content in run for part in _numbered(content, place)]
            yield from _said(numbered, calls)
        else:
            for place, content in run:
                yield from _given(role, _numbered(content, place), calls)


def read_system(content: Content | str, param: str) -> Iterator[Message]:
    [one] = _listed(content)
    parts = _parts(_numbered(one, param))
    if parts:
        yield Message(role="system", parts=parts)


class _Calls:
    """The calls that have no result yet. Clients may leave out the ids; then the order pairs both."""

    def __init__(self) -> None:
        self._open: list[tuple[str, str]] = []
        self._count = 0

    def made(self, call: FunctionCall, param: str) -> ToolCall:
        if not call.name:
            raise missing_field(f"{param}.functionCall.name")
        self._count += 1
        call_id = call.id or f"call_{self._count}"
        self._open.append((call_id, call.name))
        return ToolCall(call_id, call.name, _encode(call.args or {}).decode())

    def answered(self, response: FunctionResponse) -> str | None:
        """Return the id of the call that the response answers."""
        for number, (call_id, name) in enumerate(self._open):
            if call_id == response.id or (not response.id and name == response.name):
                del self._open[number]
                return call_id
        return response.id or None


def _role(content: Content, place: str) -> Role:
    role = _ROLES.get(content.role or "user")
    if role is None:
        raise invalid_value(f"{place}.role", f"one of {', '.join(_ROLES)}", content.role)
    return role


def _listed(wire: Contents) -> Sequence[Content]:
    if isinstance(wire, str):
        return (Content(WirePart(text=wire)),)
    return wire if isinstance(wire, list) else (wire,)


def _numbered(content: Content, place: str) -> list[tuple[str, WirePart]]:
    parts = content.parts
    if parts is None:
        raise missing_field(f"{place}.parts")
    listed = parts if isinstance(parts, list) else [parts]
    return [(f"{place}.parts[{index}]", part) for index, part in enumerate(listed)]


def _said(numbered: list[tuple[str, WirePart]], calls: _Calls) -> Iterator[Message]:
    """Keep the model's texts, calls and thoughts. A turn of nothing but thoughts is dropped."""
    shown = [(param, part) for param, part in numbered if not part.thought]
    made = tuple(
        calls.made(part.function_call, param) for param, part in shown if part.function_call is not None
    )
    others = ((param, part) for param, part in shown if part.function_call is None)
    parts = tuple(read for param, part in others for read in _read(part, param))
    if parts or made:
        thoughts = "".join(part.text or "" for _, part in numbered if part.thought)
        yield Message(role="assistant", parts=parts, tool_calls=made, reasoning=thoughts)


def _given(role: Role, numbered: list[tuple[str, WirePart]], calls: _Calls) -> Iterator[Message]:
    """Make one message of the parts between two results of functions, and one of each result."""
    for is_result, run in groupby(numbered, key=lambda at: at[1].function_response is not None):
        if not is_result:
            if parts := _parts(run):
                yield Message(role=role, parts=parts)
            continue
        for param, part in run:
            assert part.function_response is not None
            yield _result(part.function_response, calls, f"{param}.functionResponse")


def _result(wire: FunctionResponse, calls: _Calls, param: str) -> Message:
    if not wire.name:
        raise missing_field(f"{param}.name")
    is_error, value = _outcome(wire.response, wire.name)
    text = value if isinstance(value, str) else _encode(value).decode()
    files = _parts((f"{param}.parts[{index}]", part) for index, part in enumerate(wire.parts or ()))
    return Message(
        role="tool",
        parts=(*_text(text), *files),
        tool_call_id=calls.answered(wire),
        name=wire.name,
        is_error=is_error,
    )


def _outcome(response: object, name: str) -> tuple[bool, object]:
    """Tell whether a response is an error, and take the value out of its envelope."""
    if response is None:
        return False, ""
    if not isinstance(response, dict):
        return False, response
    members = {key: value for key, value in response.items() if (key, value) != ("name", name)}
    keys = _RESULT_KEYS if len(members) == len(response) else _NAMED_KEYS
    match list(members.items()):
        case [(key, value)] if key in keys:
            return key == "error", value
    return False, response


def _parts(numbered: Iterable[tuple[str, WirePart]]) -> tuple[Part, ...]:
    """Read parts. Two texts side by side are two paragraphs, so a line break stands between them."""
    parts: list[Part] = []
    for param, part in numbered:
        read = _read(part, param)
        if parts and read and isinstance(last := parts[-1], TextPart) and isinstance(read[0], TextPart):
            gap = "" if last.text.endswith("\n") else "\n"
            read = (TextPart(gap + read[0].text),)
        parts += read
    return tuple(parts)


def _read(part: WirePart, param: str) -> tuple[Part, ...]:
    match part:
        case WirePart(thought=True):
            return ()
        case WirePart(text=str(text)):
            return _text(text)
        case WirePart(inline_data=Blob() as blob):
            return (_blob(blob, param),)
        case WirePart(file_data=FileData() as file):
            return (_file(file, param),)
        case WirePart(executable_code=ExecutableCode() as code):
            return _text(f"```{(code.language or '').lower()}\n{code.code or ''}\n```\n")
        case WirePart(code_execution_result=CodeExecutionResult() as result):
            return _text(f"```\n{result.output or ''}\n```\n")
        case WirePart(function_call=FunctionCall()):
            raise unsupported(f"{param}.functionCall", "only the role 'model' calls functions")
        case WirePart(function_response=FunctionResponse()):
            raise unsupported(f"{param}.functionResponse", "the role 'model' gives no results of functions")
        case WirePart(thought_signature=str()):
            return ()  # a signature alone ends some answers of Google's
        case _:
            raise missing_field(f"{param}.text")


def _text(text: str) -> tuple[Part, ...]:
    return (TextPart(text),) if text else ()


def _blob(blob: Blob, param: str) -> Part:
    if not blob.data:
        raise missing_field(f"{param}.inlineData.data")
    url = f"data:{blob.mime_type or ''};base64,{blob.data}"
    return _attachment(url, blob.mime_type, blob.display_name, param)


def _file(file: FileData, param: str) -> Part:
    if not file.file_uri:
        raise missing_field(f"{param}.fileData.fileUri")
    if not file.file_uri.startswith(("http://", "https://")) or "/v1beta/files/" in file.file_uri:
        what = "files are not kept here between requests; send inlineData, or an http(s) address"
        raise unsupported(f"{param}.fileData.fileUri", what)
    return _attachment(file.file_uri, file.mime_type, file.display_name, param)


def _attachment(url: str, mime_type: str | None, name: str | None, param: str) -> Part:
    if (mime_type or "").lower().startswith("image/"):
        return ImagePart(url, param)
    return FilePart(url, name, param)
