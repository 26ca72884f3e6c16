"""The form of a video's id: all that is needed to ask for it again, under a seal of its caller's.

No instance remembers the videos that it has begun: any instance can go on from the id and the credential.
"""

from __future__ import annotations

import base64
import hmac

PREFIX = "video_"
MAX_ID_CHARS = 640
"""Every id that we make is shorter: its parts have limits."""
_TAG_BYTES = 16


def pack(payload: bytes, secret: bytes) -> str:
    """Make the id of a payload. Only a holder of the secret can make it."""
    sealed = base64.urlsafe_b64encode(payload + tag(payload, secret))
    return PREFIX + sealed.decode().rstrip("=")


def unpack(video_id: str) -> tuple[bytes, bytes] | None:
    """Return the payload, which is not to be believed yet, and its tag. None: this is no id of ours."""
    if not video_id.startswith(PREFIX) or len(video_id) > MAX_ID_CHARS or not video_id.isascii():
        return None
    text = video_id.removeprefix(PREFIX)
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return None
    return raw[:-_TAG_BYTES], raw[-_TAG_BYTES:]


def is_genuine(payload: bytes, given: bytes, secret: bytes) -> bool:
    return hmac.compare_digest(given, tag(payload, secret))


def tag(payload: bytes, secret: bytes) -> bytes:
    return hmac.digest(secret, payload, "sha256")[:_TAG_BYTES]


def secret_of(credential: str, key: str, context: bytes) -> bytes:
    """Derive the secret from the account's credential as it was given: a guessed API key is of no use.

    A key to the owner's accounts is part of it: the holder of another key is another caller.
    """
    return hmac.digest(
        credential.encode("utf-8", "surrogatepass"), context + key.encode("utf-8", "surrogatepass"), "sha256"
    )
