"""Identify the caller by the request's credential."""

from __future__ import annotations

import hmac
import re

from starlette.requests import Request

from lib.chat.caller import MAX_TOKEN_CHARS, Caller, is_official_key
from lib.errors import AuthenticationFailed
from lib.jwt import claims_of
from lib.settings import Settings, key_digest, key_digests
from lib.web.guessing import WrongCredential

MAX_TOKENS = 16
"""One credential names at most so many tokens: each can cost a call to the upstream, and a person has fewer
accounts."""

KEY_HEADERS = ("x-api-key", "x-goog-api-key", "api-key")
"""The headers of Anthropic's clients, of Google's, and of Azure's."""

_WRAPPED = re.compile(r"[\"'“‘`]|bearer\b", re.IGNORECASE)
"""Some settings of clients and files of variables add these before a key."""
_REFRESH_TOKEN = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)


def identify(request: Request, settings: Settings, *, brought: str | None = None) -> Caller:
    """Return the caller and the accounts that the request may use. Raise `AuthenticationFailed` if none.

    A wrong credential raises `WrongCredential`; the app may delay its answer. `brought` are refresh tokens in
    the body. They are the credential if no header has one.
    """
    credential = credential_of(request) or brought
    if not credential:
        raise AuthenticationFailed(_about_no_credential(request.headers.get("authorization", "")))
    if is_api_key(credential, settings):
        return Caller(
            settings.refresh_tokens, is_owner=True, key=credential, official_keys=settings.official_keys
        )
    entries = split_tokens(credential)
    if settings.allow_passthrough and entries and all(map(_has_form, entries)):
        tokens = tuple(entry for entry in entries if not is_official_key(entry))
        keys = tuple(entry for entry in entries if is_official_key(entry))
        return Caller(tokens, is_owner=False, official_keys=keys)
    raise WrongCredential(_about_wrong(credential, entries, settings), credential)


def _about_no_credential(header: str) -> str:
    """Say what to send. The header may be there, but without a key that we see."""
    if header.strip().lower() == "bearer":
        return "The header Authorization has no key after 'Bearer'. Is the variable with the key set?"
    reason = "The header Authorization does not begin with 'Bearer'." if header else ""
    return f"{reason or 'The request has no credential.'} Send 'Authorization: Bearer <key>'."


def _about_wrong(credential: str, entries: tuple[str, ...], settings: Settings) -> str:
    """Say what is wrong with the credential, and what to send. Never quote it."""
    if _WRAPPED.match(credential):
        return "The credential begins with a quotation mark or with 'Bearer'. Send the key alone."
    if not settings.allow_passthrough and (kind := _kind_of(entries)):
        return (
            f"This is {kind}, and pass-through is off here. Send a key of API_KEYS. The owner may "
            "set ALLOW_PASSTHROUGH=true."
        )
    if settings.allow_passthrough:
        return (
            "The credential is not a key of API_KEYS, and not one or more refresh tokens or keys of the "
            "official API with commas between them."
        )
    if not settings.api_keys:
        return (
            "The credential is not a key of API_KEYS: the gateway has none. Set API_KEYS to at least one key."
        )
    return "The credential is not a key of API_KEYS. Send one of the keys in this setting of the gateway."


def _kind_of(entries: tuple[str, ...]) -> str:
    """Name the form of credentials that only pass-through takes. Any other form gets no name."""
    if entries and all(map(claims_of, entries)):
        is_access = any(claims_of(entry).get("type") == "access" for entry in entries)
        return "an access token (not a refresh token)" if is_access else "a refresh token"
    return "a key of the official API" if entries and all(map(is_official_key, entries)) else ""


def identify_owner(request: Request, settings: Settings) -> Caller:
    """Accept only a key of API_KEYS. A caller's own refresh tokens are a wrong credential here."""
    caller = identify(request, settings)
    if not caller.is_owner:
        raise WrongCredential(
            "Only the owner may ask for this. Send a key of API_KEYS.", credential_of(request)
        )
    return caller


def _has_form(token: str) -> bool:
    is_token = len(token) <= MAX_TOKEN_CHARS and _REFRESH_TOKEN.fullmatch(token) is not None
    return is_token or is_official_key(token)


def split_tokens(text: str) -> tuple[str, ...]:
    """Return each refresh token once. Every way into the gateway has the same limit of them."""
    tokens = tuple(dict.fromkeys(token for token in (piece.strip() for piece in text.split(",")) if token))
    if len(tokens) > MAX_TOKENS:
        raise AuthenticationFailed(
            f"Expected at most {MAX_TOKENS} refresh tokens in one request, got {len(tokens)}."
        )
    return tokens


def credential_of(request: Request) -> str:
    """Find the credential in the places that the known dialects use."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    found = (request.headers.get(name) for name in KEY_HEADERS)
    keys = request.query_params.getlist("key")  # The first of several counts, as with headers.
    return next(filter(None, (*found, *keys[:1])), "")


def is_api_key(credential: str, settings: Settings) -> bool:
    """Compare the credential with every key. The time is the same for every credential."""
    # All digests have one length, so the comparison does not reveal a key's length.
    given = key_digest(credential)
    matches = [hmac.compare_digest(given, digest) for digest in key_digests(settings.api_keys)]
    return any(matches)
