"""POST /v1/embeddings: OpenAI's request, and its answer with vectors as numbers or as base64."""

from __future__ import annotations

import sys
from array import array
from base64 import b64encode
from collections.abc import Iterator

import msgspec

from lib.chat.vectors import EmbeddingRequest, Embeddings, VectorForm
from lib.dialects.fields import read_model
from lib.dialects.json_body import decode_body, invalid_value, unsupported
from lib.errors import InvalidRequest

MAX_INPUTS = 8_192
"""Four times OpenAI's limit. The vectors of so many texts take up to 128 MiB, and count like a body."""

_FORMS: dict[str, VectorForm] = {"float": "float", "base64": "base64"}


class _Body(msgspec.Struct):
    """The upstream has no use for `user`, so the parser ignores it."""

    input: str | list[str | int | list[int]]
    model: str | None = None
    dimensions: int | float | None = None
    encoding_format: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int
    total_tokens: int


class _Tail(msgspec.Struct):
    model: str
    usage: _Usage


_decoder = msgspec.json.Decoder(_Body)


def parse_embedding_request(body: bytes) -> EmbeddingRequest:
    """Raise InvalidRequest, and nothing else, for any mistake in the body."""
    wire = decode_body(body, _decoder)
    return EmbeddingRequest(
        inputs=_inputs(wire.input),
        model=read_model(wire.model),
        dimensions=_dimensions(wire.dimensions),
        form=_form(wire.encoding_format),
    )


def render_embeddings(made: Embeddings, form: VectorForm, model: str) -> Iterator[bytes]:
    """Write the answer piece by piece, one vector in each: a whole answer may have a hundred megabytes."""
    yield b'{"object":"list","data":['
    for index, vector in enumerate(made.vectors):
        written = msgspec.json.encode(list(vector)) if form == "float" else _base64(vector)
        comma = b"," if index else b""
        yield b'%b{"object":"embedding","index":%d,"embedding":%b}' % (comma, index, written)
    tail = _Tail(model, _Usage(made.prompt_tokens, made.total_tokens))
    yield b"]," + msgspec.json.encode(tail)[1:]


def _base64(vector: array[float], byte_order: str = sys.byteorder) -> bytes:
    """Encode float32, the lowest byte first: OpenAI's SDKs read it so."""
    if byte_order == "big":
        vector = vector[:]
        vector.byteswap()
    return b'"%b"' % b64encode(vector.tobytes())


def _inputs(given: str | list[str | int | list[int]]) -> tuple[str, ...]:
    texts = [given] if isinstance(given, str) else given
    if not 0 < len(texts) <= MAX_INPUTS:
        raise InvalidRequest(
            f"Invalid value for 'input': expected 1 to {MAX_INPUTS} texts, got {len(texts)}.", param="input"
        )
    inputs: list[str] = []
    for place, text in enumerate(texts):
        param = "input" if isinstance(given, str) else f"input[{place}]"
        if not isinstance(text, str):
            raise unsupported(
                param,
                "the upstream takes texts, not tokens. In langchain's OpenAIEmbeddings set "
                "check_embedding_ctx_length=False",
            )
        if not text:
            raise invalid_value(param, "a text that is not empty", text)
        inputs.append(text)
    return tuple(inputs)


def _dimensions(number: float | None) -> int | None:
    if number is None:
        return None
    if number < 1 or number != int(number):
        raise invalid_value("dimensions", "a whole number from 1", str(number))
    return int(number)


def _form(form: str | None) -> VectorForm:
    if form is None:
        return "float"
    if form not in _FORMS:
        raise invalid_value("encoding_format", "'float' or 'base64'", form)
    return _FORMS[form]
