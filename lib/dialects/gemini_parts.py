"""The parts of an answer in Google's form."""

from __future__ import annotations

from base64 import b64encode
from typing import Literal

import msgspec

from lib.chat.answer import CallItem
from lib.dialects.call_arguments import as_object

encode = msgspec.json.Encoder().encode


class TextPart(msgspec.Struct):
    text: str


class ThoughtPart(msgspec.Struct):
    text: str
    thought: Literal[True] = True


class _FunctionCall(msgspec.Struct):
    id: str
    name: str
    args: msgspec.Raw


class CallPart(msgspec.Struct, rename="camel"):
    function_call: _FunctionCall
    thought_signature: str
    """Clients send it back with the call. It holds nothing, and the gateway does not read it."""


AnswerPart = TextPart | ThoughtPart | CallPart


def call_part(call: CallItem) -> CallPart:
    signature = b64encode(f"{call.id} {call.name}".encode()).decode()
    return CallPart(_FunctionCall(call.id, call.name, as_object(call.arguments)), signature)
