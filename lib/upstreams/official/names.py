"""The models of the official API beside its chats, and the model that a name means (design of 2026-11)."""

from __future__ import annotations

from collections.abc import Collection

from lib.chat.caller import Caller
from lib.errors import InvalidRequest, NotFound

API, WEB = "api/", "web/"
"""A caller chooses the upstream by one of these before a model's name."""

EMBEDDINGS = {"embedding-3": (256, 512, 1024, 2048), "embedding-2": (1024,)}
"""The dimensions of each model. The last one is the model's own choice."""
RERANK = ("rerank",)
TRANSCRIPTION = ("glm-asr-2512",)
SPEECH = ("glm-tts",)
IMAGES = ("glm-image", "cogview-4", "cogview-4-250304", "cogview-3-flash")
VIDEOS = (
    "cogvideox-3", "cogvideox-2", "cogvideox-flash",
    "viduq1-text", "viduq1-image", "viduq1-start-end",
    "vidu2-image", "vidu2-start-end", "vidu2-reference",
)  # fmt: skip
"""`cogvideox` and `cogvideox-pro` are the account's."""
FREE_IMAGES, FREE_VIDEOS = "cogview-3-flash", "cogvideox-flash"
"""They serve every other name if no account is there."""


def served_by(name: str, known: Collection[str], default: str) -> str:
    """Return the API's name of a model that only the API has. `api/NAME` is sent as it stands."""
    bare = name.strip()
    if bare.lower().startswith(API):
        return bare[len(API) :]
    if bare.lower().startswith(WEB):
        raise NotFound(
            f"The model {name!r} is not known: chatglm.cn has no model of this kind. Leave {WEB!r} out.",
            code="model_not_found",
            param="model",
        )
    return bare.lower() if bare.lower() in known else default


def is_for_api(name: str, known: Collection[str], caller: Caller) -> bool | None:
    """Tell whether the API makes the image or the video by this name. None: only if no account is there."""
    bare = name.strip().lower()
    if bare.startswith((API, WEB)):
        return bare.startswith(API)
    if not caller.official_keys:
        return False
    return True if bare in known else None


def require_key(caller: Caller, name: str) -> None:
    """Raise the refusal of a request that only a key of the API can serve."""
    if caller.official_keys:
        return
    if name.strip().lower().startswith(API):
        raise NotFound(
            f"The model {name!r} is not known: no key of the official API is here. {_how(caller)}",
            code="model_not_found",
            param="model",
        )
    raise InvalidRequest(
        f"Only the vendor's official API can do this, and no key of it is here. {_how(caller)}",
        code="official_key_missing",
    )


def _how(caller: Caller) -> str:
    if caller.is_owner:
        return "The gateway's owner sets GLM_API_KEYS."
    return "Send your own key of it with the request, or ask the gateway's owner to set GLM_API_KEYS."
