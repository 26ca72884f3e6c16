"""The ids of videos of chatglm.cn."""

from __future__ import annotations

import msgspec

from lib.chat.caller import Caller
from lib.upstreams.chatglm.accounts.account import Account
from lib.upstreams.video_ids import is_genuine, pack, secret_of, unpack

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
    return pack(_encode(job), _secret(caller, account))


def unseal(video_id: str, caller: Caller, accounts: tuple[Account, ...]) -> tuple[VideoJob, Account] | None:
    """Return the job and its account; None for an id that was not made for this caller."""
    found = unpack(video_id)
    if found is None:
        return None
    payload, tag = found
    try:
        job = _decode(payload)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None
    for account in accounts:
        if account.label == job.account_label and is_genuine(payload, tag, _secret(caller, account)):
            return job, account
    return None


def _secret(caller: Caller, account: Account) -> bytes:
    return secret_of(account.refresh_token, caller.key, _CONTEXT)
