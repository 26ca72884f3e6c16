"""Counting a prompt's tokens: by the vendor's tokenizer if a key of its API is there, else by an estimate."""

from __future__ import annotations

from lib.chat.request import ChatRequest
from lib.upstreams.interface import Call


async def reported_tokens(chat: ChatRequest, call: Call) -> int | None:
    """Return None if only an estimate can be had."""
    if not call.caller.official_keys:  # Most counts need no import of the API.
        return None
    return await call.services.tokenizer.count(chat, call)
