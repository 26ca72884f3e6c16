"""A response's id. It holds the conversation, under a seal that only this caller's credential can make.

No process remembers a response. With the id, the same credential can continue the conversation.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

import msgspec

from lib.chat.caller import Caller

PREFIX = "resp_"
MAX_ID_CHARS = 640
"""Every id that contains an id of the upstream is shorter."""
_TAG_BYTES = 16
_CONTEXT = b"glm-gateway response 1\0"


class NamedResponse(msgspec.Struct, frozen=True, array_like=True):
    conversation_id: str
    is_kept: bool
    """False means that the conversation is deleted at the end of its answer."""
    nonce: bytes
    """It makes the ids of one conversation's answers different."""
    upstream: str = "web"
    """The name of the upstream that has answered. Only the account has conversations."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(NamedResponse).decode


def seal(response: NamedResponse, caller: Caller) -> str:
    payload = _encode(response)
    tag = _tag(payload, caller, _secrets(caller)[0])
    return PREFIX + base64.urlsafe_b64encode(payload + tag).decode().rstrip("=")


def unseal(response_id: str, caller: Caller) -> NamedResponse | None:
    """Return None if the id does not belong to this caller."""
    if not response_id.startswith(PREFIX) or len(response_id) > MAX_ID_CHARS or not response_id.isascii():
        return None
    text = response_id.removeprefix(PREFIX)
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        payload, tag = raw[:-_TAG_BYTES], raw[-_TAG_BYTES:]
        response = _decode(payload)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors.
        return None
    expected = [_tag(payload, caller, secret) for secret in _secrets(caller)]
    return response if any(hmac.compare_digest(tag, one) for one in expected) else None


def _secrets(caller: Caller) -> tuple[str, ...]:
    """Return the secrets. The first one seals and each one opens, so the order of tokens may change."""
    return caller.refresh_tokens or caller.official_keys or ("",)


def _tag(payload: bytes, caller: Caller, token: str) -> bytes:
    """Authenticate with a refresh token: unlike an API key, it cannot be guessed.

    The API key is part of the tag, because the holder of another key is another caller.
    """
    secret = hmac.digest(
        token.encode("utf-8", "surrogatepass"),
        _CONTEXT + caller.key.encode("utf-8", "surrogatepass"),
        hashlib.sha256,
    )
    return hmac.digest(secret, payload, hashlib.sha256)[:_TAG_BYTES]
