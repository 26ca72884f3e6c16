"""OpenAI's responses without a memory: an id is opened here, and an answer that no id can give is a 404."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from lib.chat.caller import Caller
from lib.chat.events import Started
from lib.dialects import openai_responses
from lib.dialects.interface import Address
from lib.dialects.openai_responses_request import AskedResponse
from lib.errors import ConversationNotFound, NotFound
from lib.settings import current
from lib.web.body import read_body
from lib.web.call import call_of
from lib.web.caller import identify
from lib.web.chat import answer_chat
from lib.web.response_ids import NamedResponse, seal, unseal

_NONCE_BYTES = 6


async def create_response(request: Request) -> Response:
    call = call_of(request)
    body = await read_body(request, limit=call.settings.max_body_bytes)
    asked = continued(openai_responses.parse(body, Address()), call.caller)
    call.trace.notices.update(asked.ignored)
    answer_id = naming(asked, call.caller, secrets.token_bytes(_NONCE_BYTES))
    return await answer_chat(openai_responses, asked, call, answer_id=answer_id)


async def get_response(request: Request) -> Response:
    """Refuse to show a response, or its input: no text is kept here."""
    _named(request)
    raise NotFound(
        "The text of this response is not kept here. After store: true, its conversation goes on with "
        "previous_response_id."
    )


async def delete_response(request: Request) -> Response:
    """Confirm that nothing is left of a response, if so."""
    if _named(request).is_kept:
        raise NotFound(
            "The conversation of this response is kept by the upstream, as store: true asked for; it can be "
            "deleted there."
        )
    deleted = {"id": request.path_params["response_id"], "object": "response", "deleted": True}
    return Response(msgspec.json.encode(deleted), media_type="application/json")


def continued(asked: AskedResponse, caller: Caller) -> AskedResponse:
    """Put in the conversation of `previous_response_id`. Raise ConversationNotFound if there is none."""
    if asked.previous_response_id is None:
        return asked
    previous = unseal(asked.previous_response_id, caller)
    if previous is None:
        raise ConversationNotFound(
            "This previous_response_id leads to no conversation of this credential. To go on with an answer, "
            "send store: true with its request.",
            param="previous_response_id",
        )
    if not previous.is_kept:
        raise ConversationNotFound(
            "The conversation of this previous_response_id is deleted. To go on with an answer, send "
            "store: true with its request.",
            param="previous_response_id",
        )
    chat = msgspec.structs.replace(asked.chat, conversation_id=previous.conversation_id)
    return msgspec.structs.replace(asked, chat=chat)


def naming(asked: AskedResponse, caller: Caller, nonce: bytes) -> Callable[[Started], str]:
    """Return the function that names the answer, once the upstream has named its conversation."""

    def answer_id(started: Started) -> str:
        is_kept = asked.chat.keeps_conversation and bool(started.id)
        return seal(NamedResponse(started.id, is_kept, nonce), caller)

    return answer_id


def _named(request: Request) -> NamedResponse:
    """Raise NotFound for an id that was not made for the caller."""
    caller = identify(request, current())
    response = unseal(request.path_params["response_id"], caller)
    if response is None:
        raise NotFound("There is no response with this id, or another credential has made it.")
    return response
