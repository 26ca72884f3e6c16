"""Who calls, by the credential that came."""

from __future__ import annotations

import hashlib
import hmac
import re
from functools import lru_cache

from starlette.requests import Request

from lib.chat.caller import Caller
from lib.errors import AuthenticationFailed
from lib.settings import HASHED_KEY, Settings
from lib.web.guessing import WrongCredential

MOST_TOKENS = 16
"""In one credential: nobody has more accounts of their own, and each can cost a call of the upstream's."""

_REFRESH_TOKEN = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)


def identify(request: Request, settings: Settings, *, brought: str | None = None) -> Caller:
    """Return whose accounts the request may use; raises `AuthenticationFailed` for nobody's.

    A credential that opens nothing is a `WrongCredential`, whose answer the app may hold back.

    `brought` are refresh tokens in the body: a credential too, where no header has one.
    """
    credential = credential_of(request) or brought
    if not credential:
        raise AuthenticationFailed("No credential: send 'Authorization: Bearer <key>'.")
    if is_api_key(credential, settings):
        return Caller(settings.refresh_tokens, is_owner=True, key=credential)
    tokens = split_tokens(credential)
    if len(tokens) > MOST_TOKENS:
        raise AuthenticationFailed(f"The credential names more than {MOST_TOKENS} refresh tokens.")
    if settings.allow_passthrough and tokens and all(map(_REFRESH_TOKEN.fullmatch, tokens)):
        return Caller(tokens, is_owner=False)
    expected = "a key of API_KEYS"
    if settings.allow_passthrough:
        expected += " or one or several comma-separated refresh tokens"
    raise WrongCredential(f"The credential is not {expected}.", credential)


def identify_owner(request: Request, settings: Settings) -> Caller:
    """Refuse whoever has no key; tokens of one's own are a wrong credential here, where another would do."""
    caller = identify(request, settings)
    if not caller.is_owner:
        raise WrongCredential("This is the owner's: send a key of API_KEYS.", credential_of(request))
    return caller


def split_tokens(text: str) -> tuple[str, ...]:
    return tuple(token for token in (piece.strip() for piece in text.split(",")) if token)


def credential_of(request: Request) -> str:
    """Find the credential where the clients of the known dialects put it."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    headers = request.headers
    return headers.get("x-api-key") or headers.get("x-goog-api-key") or request.query_params.get("key", "")


def is_api_key(credential: str, settings: Settings) -> bool:
    """Compare with every key, in a time that tells nothing of any."""
    given = _digest(credential)
    matches = [hmac.compare_digest(given, digest) for digest in _digests(settings.api_keys)]
    return any(matches)


@lru_cache(maxsize=8)
def _digests(api_keys: tuple[str, ...]) -> tuple[bytes, ...]:
    """All of one length, so that comparing tells nothing of a key's own."""
    hashed = ((key, HASHED_KEY.fullmatch(key)) for key in api_keys)
    return tuple(bytes.fromhex(match[1]) if match else _digest(key) for key, match in hashed)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
