"""A video's id: all that must be known to ask for it again, under a seal that its caller alone can make.

No instance remembers what it has begun; whoever gets the id back, with the same credential, can go on.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

import msgspec

from lib.chat.caller import Caller
from lib.upstreams.chatglm.accounts.account import Account

PREFIX = "video_"
MAX_ID_CHARS = 640
"""Longer than any that is made of what callers and the upstream may send."""
_TAG_BYTES = 16
_CONTEXT = b"glm-gateway video 1\0"


class VideoJob(msgspec.Struct, frozen=True, array_like=True):
    chat_id: str
    conversation_id: str
    account_label: str
    created_at: int
    model: str
    audio: tuple[str, str] | None = None
    """Key and id of the sound that is still to be added."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(VideoJob).decode


def seal(job: VideoJob, caller: Caller, account: Account) -> str:
    payload = _encode(job)
    sealed = base64.urlsafe_b64encode(payload + _tag(payload, caller, account))
    return PREFIX + sealed.decode().rstrip("=")


def unseal(video_id: str, caller: Caller, accounts: tuple[Account, ...]) -> tuple[VideoJob, Account] | None:
    """Return the job and its account; None for an id that was not made for this caller."""
    if not video_id.startswith(PREFIX) or len(video_id) > MAX_ID_CHARS or not video_id.isascii():
        return None
    text = video_id.removeprefix(PREFIX)
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        payload, tag = raw[:-_TAG_BYTES], raw[-_TAG_BYTES:]
        job = _decode(payload)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None
    for account in accounts:
        if account.label == job.account_label and hmac.compare_digest(tag, _tag(payload, caller, account)):
            return job, account
    return None


def _tag(payload: bytes, caller: Caller, account: Account) -> bytes:
    """Authenticate with the account's token as it was given, which no guess at an API key can replace.

    A key to the owner's accounts is part of it: the holder of another key is somebody else.
    """
    secret = hmac.digest(
        account.refresh_token.encode("utf-8", "surrogatepass"),
        _CONTEXT + caller.key.encode("utf-8", "surrogatepass"),
        hashlib.sha256,
    )
    return hmac.digest(secret, payload, hashlib.sha256)[:_TAG_BYTES]
