"""OpenAI's responses without a store: their ids lead to conversations. A request for a kept text is a 404."""

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
from lib.upstreams.interface import Call
from lib.web.body import read_body
from lib.web.call import body_limit, call_of
from lib.web.caller import identify
from lib.web.chat import answer_chat
from lib.web.response_ids import NamedResponse, seal, unseal

_NONCE_BYTES = 6
ACCOUNT = "web"
"""The upstream that can keep a conversation."""


async def create_response(request: Request) -> Response:
    call = call_of(request)
    body = await read_body(request, limit=await body_limit(request, call))
    asked = continued(openai_responses.parse(body, Address()), call.caller)
    call.trace.notices.update(asked.ignored)
    answer_id = naming(asked, call, secrets.token_bytes(_NONCE_BYTES))
    return await answer_chat(openai_responses, asked, call, answer_id=answer_id)


async def get_response(request: Request) -> Response:
    """Refuse to show a response or its input: the gateway keeps no text."""
    _named(request)
    raise NotFound(
        "The gateway keeps no texts of responses. To continue a response with store: true, send its id as "
        "previous_response_id."
    )


async def delete_response(request: Request) -> Response:
    """Confirm that a response is deleted, unless the upstream keeps its conversation."""
    if _named(request).is_kept:
        raise NotFound(
            "The upstream keeps the conversation of this response, because its request has store: true. "
            "Delete the conversation at chatglm.cn."
        )
    deleted = {"id": request.path_params["response_id"], "object": "response", "deleted": True}
    return Response(msgspec.json.encode(deleted), media_type="application/json")


def continued(asked: AskedResponse, caller: Caller) -> AskedResponse:
    """Add the conversation of `previous_response_id`. Raise ConversationNotFound if it has none."""
    if asked.previous_response_id is None:
        return asked
    previous = unseal(asked.previous_response_id, caller)
    if previous is None:
        raise ConversationNotFound(
            "This previous_response_id does not belong to a conversation of this credential. To continue an "
            "answer later, send store: true with its request.",
            param="previous_response_id",
        )
    if previous.upstream != ACCOUNT:
        raise ConversationNotFound(
            "The official API has answered this response, and it keeps no conversations: send all messages, "
            "without previous_response_id.",
            param="previous_response_id",
        )
    if not previous.is_kept:
        raise ConversationNotFound(
            "The conversation of this previous_response_id is deleted. To continue an answer later, send "
            "store: true with its request.",
            param="previous_response_id",
        )
    chat = msgspec.structs.replace(asked.chat, conversation_id=previous.conversation_id)
    return msgspec.structs.replace(asked, chat=chat)


def naming(asked: AskedResponse, call: Call, nonce: bytes) -> Callable[[Started], str]:
    """Return a function that makes the answer's id from the upstream's id of the conversation."""

    def answer_id(started: Started) -> str:
        upstream = call.trace.upstream  # It is known now: after a fallback, it is not the first one.
        is_kept = asked.chat.keeps_conversation and bool(started.id) and upstream == ACCOUNT
        return seal(NamedResponse(started.id, is_kept, nonce, upstream), call.caller)

    return answer_id


def _named(request: Request) -> NamedResponse:
    """Read the response's id. Raise NotFound if the id belongs to another caller."""
    caller = identify(request, current())
    response = unseal(request.path_params["response_id"], caller)
    if response is None:
        raise NotFound("No response has this id, or the response belongs to another credential.")
    return response
