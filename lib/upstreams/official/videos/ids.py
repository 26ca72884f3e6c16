"""The ids of videos of the official API."""

from __future__ import annotations

import msgspec

from lib.chat.caller import Caller
from lib.upstreams.official.gateway import keys_of
from lib.upstreams.official.wire.keys import Key
from lib.upstreams.video_ids import is_genuine, pack, secret_of, unpack

_CONTEXT = b"glm-gateway official video 1\0"


class VideoJob(msgspec.Struct, frozen=True, array_like=True):
    task_id: str
    key_label: str
    created_at: int
    model: str
    """The caller's own spelling."""
    seconds: int = 0
    size: str = ""
    """Both are as they were ordered. The API's answer does not say them."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(VideoJob).decode


def seal(job: VideoJob, caller: Caller, key: Key) -> str:
    return pack(_encode(job), _secret(caller, key))


def unseal(video_id: str, caller: Caller) -> tuple[VideoJob, Key] | None:
    """Return the job and its key; None for an id that was not made for this caller."""
    found = unpack(video_id)
    if found is None:
        return None
    payload, tag = found
    try:
        job = _decode(payload)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None
    for key in keys_of(caller):
        if key.label == job.key_label and is_genuine(payload, tag, _secret(caller, key)):
            return job, key
    return None


def _secret(caller: Caller, key: Key) -> bytes:
    return secret_of(key.text, caller.key, _CONTEXT)
