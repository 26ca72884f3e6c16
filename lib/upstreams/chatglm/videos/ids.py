"""A video's id: all that is needed to ask for it again, under a seal of its caller's.

No instance remembers the videos that it has begun: any instance can go on from the id and the credential.
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
"""Every id that we make is shorter: its parts have limits."""
_TAG_BYTES = 16
_CONTEXT = b"glm-gateway video 1\0"


class VideoJob(msgspec.Struct, frozen=True, array_like=True):
    chat_id: str
    conversation_id: str
    account_label: str
    created_at: int
    model: str
    audio: tuple[str, str] | None = None
    """The key and the id of the sound that is still to be added."""


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
    """Authenticate with the account's token as it was given, so that a guessed API key is of no use.

    A key to the owner's accounts is part of it: the holder of another key is another caller.
    """
    secret = hmac.digest(
        account.refresh_token.encode("utf-8", "surrogatepass"),
        _CONTEXT + caller.key.encode("utf-8", "surrogatepass"),
        hashlib.sha256,
    )
    return hmac.digest(secret, payload, hashlib.sha256)[:_TAG_BYTES]
