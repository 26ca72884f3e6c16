"""Read the environment. No other module does. docs/configuration.md explains every name."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Literal, cast, get_args
from urllib.parse import unquote

import msgspec

from lib.errors import ConfigurationError
from lib.jwt import QUOTATION_MARKS, mistake_in
from lib.store.settings import ENVIRONMENT_NAMES, MemorySettings, StoreSettings, read_store_settings

MIB = 1024 * 1024
VERCEL_MAX_DURATION_S = 300.0
"""The Hobby plan ends a function after this time. The owner of a paid plan sets MAX_DURATION_S."""


HASHED_KEY = re.compile(r"sha256:([0-9a-fA-F]{64})")
"""An entry of API_KEYS may be a key's hash. Then the environment does not hold the key itself."""


MIN_KEY_CHARS = 16
"""A shorter key gets a warning, and no refusal: the owner may know better."""
_IMITATION = "http://127.0.0.1:"
"""The upstream of the demo and of the tests."""

LogFormat = Literal["auto", "text", "json"]
"""`auto`: lines for people if stderr is a terminal, JSON if not."""


ToolSyntax = Literal["blocks", "calls", "dsml"]
"""The form in which the model is taught to call tools (docs/tools.md)."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting, typed. It is hashable, so a cache can use it as a key."""

    refresh_tokens: tuple[str, ...] = ()
    api_keys: tuple[str, ...] = ()
    allow_passthrough: bool = True
    base_url: str = "https://chatglm.cn/chatglm"
    sign_secret: str = "8a1317a7468aa3ad86e997d08f3f31cb"  # noqa: S105 - It is public, in every copy of the web app.
    app_version: str = "0.0.1"
    user_agent: str = (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/140.0.0.0 Safari/537.36"
    )
    assistant_id: str = "65940acff94777010aa6b796"
    drawing_assistant_id: str = "65a232c082ff90a2ad2f15e2"
    default_model: str = "glm-5.3-flash"
    official_keys: tuple[str, ...] = ()
    """The owner's keys of the vendor's official API."""
    official_base_url: str = "https://open.bigmodel.cn/api/paas/v4"
    official_default_model: str = "glm-4.5-flash"
    fallback_model: str | None = None
    """A model of the official API that answers when the account cannot."""
    web_search: bool = False
    tool_syntax: ToolSyntax = "blocks"
    store: StoreSettings = MemorySettings()
    store_secret: str | None = None
    """It seals the accounts that are added at run time. Without it, the entries of API_KEYS do."""
    max_duration_s: float | None = None
    on_vercel: bool = False
    on_lambda: bool = False
    """AWS Lambda sends each invocation's deadline in a header. We trust this header only there."""
    connect_timeout_s: float = 10.0
    first_content_timeout_s: float = 60.0
    thinking_timeout_s: float = 600.0
    """The same for a model of the official API that thinks hard. FIRST_CONTENT_TIMEOUT_S sets both."""
    idle_timeout_s: float = 120.0
    heartbeat_s: float = 15.0
    account_wait_s: float = 30.0
    max_body_bytes: int = 32 * MIB
    max_file_bytes: int = 100 * MIB
    fetch_allow_hosts: tuple[str, ...] = ()
    capture_dir: str | None = None
    log_level: str = "INFO"
    log_format: LogFormat = "auto"

    @property
    def first_default_model(self) -> str:
        """The model of a request that names none: the account's comes first."""
        only_official = bool(self.official_keys) and not self.refresh_tokens
        return self.official_default_model if only_official else self.default_model

    def __repr__(self) -> str:
        counts = f"accounts={len(self.refresh_tokens)}, official_keys={len(self.official_keys)}"
        return f"Settings({counts}, api_keys={len(self.api_keys)}, …)"

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read every setting. Raise a `ConfigurationError` that names all wrong settings at once.

        It quotes no value, not even a number: strangers may read it, and a key may stand in the wrong place.
        """
        values: dict[str, Any] = {
            "allow_passthrough": not any(environ.get(name, "").strip() for name in _CLOSING),
            "max_duration_s": VERCEL_MAX_DURATION_S if environ.get("VERCEL") else None,
            "on_vercel": bool(environ.get("VERCEL")),
            # Vercel runs on Lambda and sets its names, but a client could send the deadline's header there.
            "on_lambda": bool(environ.get("AWS_LAMBDA_FUNCTION_NAME")) and not environ.get("VERCEL"),
        }
        mistakes: list[str] = []
        for field, (name, parse) in _FIELDS.items():
            text = environ.get(name, "").strip()
            if not text:
                continue
            try:
                values[field] = parse(text)
            except ValueError as error:
                mistakes.append(f"{name} {error}")
        if "first_content_timeout_s" in values:
            values["thinking_timeout_s"] = values["first_content_timeout_s"]
        try:
            values["store"] = read_store_settings(environ)
        except ValueError as error:
            mistakes.append(f"STORE_URL {error}")
        if mistakes:
            raise ConfigurationError("Wrong settings: " + "; ".join(mistakes) + ".")
        return cls(**values)

    def gaps(self) -> list[str]:
        """Describe each setting that the owner probably does not want, in one sentence each."""
        found = [*self._odd_entries(), *self._gaps_of_keys()]
        if isinstance(self.store, MemorySettings):
            found.append(
                "STORE_URL is memory://: this process loses a rotated refresh token when it ends, and two "
                "processes may use one account at the same time."
            )
        return found

    def _gaps_of_keys(self) -> Iterator[str]:
        if self.refresh_tokens and not self.api_keys:
            yield (
                "CHATGLM_REFRESH_TOKENS is set without API_KEYS: no request can use these accounts. Set "
                "API_KEYS to at least one key."
            )
        if self.official_keys and not self.api_keys:
            yield (
                "GLM_API_KEYS is set without API_KEYS: no request can use these keys. Set API_KEYS to at "
                "least one key."
            )
        has_none = not (self.refresh_tokens or self.official_keys or self.keeps_accounts)
        if self.api_keys and has_none:
            yield (
                "API_KEYS is set without CHATGLM_REFRESH_TOKENS: the keys have no account. Set "
                "CHATGLM_REFRESH_TOKENS or GLM_API_KEYS."
            )
        if has_none and not self.allow_passthrough:
            yield (
                "CHATGLM_REFRESH_TOKENS is not set and ALLOW_PASSTHROUGH is off: no request can succeed. Set "
                "one of them, or GLM_API_KEYS."
            )
        if self.fallback_model and not self.official_keys:
            yield "FALLBACK_MODEL is set without GLM_API_KEYS: no key can answer with it. Set GLM_API_KEYS."

    def _odd_entries(self) -> list[str]:
        """Name the entries with a wrong form by their place, never by their value."""
        found = [
            f"Entry {place} of CHATGLM_REFRESH_TOKENS {mistake}. Copy the value of the cookie "
            "chatglm_refresh_token, and nothing else."
            for place, token in enumerate(self.refresh_tokens, 1)
            if (mistake := mistake_in(token)) is not None
        ]
        found += [
            f"Entry {place} of API_KEYS begins with a quotation mark, which counts as a part of the key. "
            "Remove the quotation marks around it."
            for place, key in enumerate(self.api_keys, 1)
            if key.startswith(QUOTATION_MARKS)
        ]
        if self.base_url.startswith(_IMITATION):  # The demo's own key is short. No account is behind it.
            return found
        return found + [
            f"Entry {place} of API_KEYS has fewer than {MIN_KEY_CHARS} characters: it can be guessed. Use a "
            "random one, such as openssl rand -hex 24 makes."
            for place, key in enumerate(self.api_keys, 1)
            if len(key) < MIN_KEY_CHARS
        ]

    @property
    def keeps_accounts(self) -> bool:
        """The owner can add accounts at run time: there is a key to ask with, and a store that lasts."""
        return bool(self.api_keys) and not isinstance(self.store, MemorySettings)

    def invitation(self) -> list[str]:
        """Say where to add an account if the settings have none. The store may have some, so it is no gap."""
        if self.refresh_tokens or self.official_keys or not self.keeps_accounts:
            return []
        where_to = (
            "CHATGLM_REFRESH_TOKENS is not set: add an account at run time. Open this gateway's address in a "
            "browser, connect with your API key and choose Status; or send the refresh token to POST /tokens."
        )
        return [where_to]

    def openness(self) -> list[str]:
        """Say that strangers may use the gateway. It may be meant so, so it is no gap."""
        open_to_all = (
            "ALLOW_PASSTHROUGH is on: anybody may use this gateway with refresh tokens or keys of their own. "
            "Set API_KEYS, or ALLOW_PASSTHROUGH to false, to close it."
        )
        return [open_to_all] if self.allow_passthrough else []


_CLOSING = ("API_KEYS", "CHATGLM_REFRESH_TOKENS", "GLM_API_KEYS")
"""With any of these the gateway is one person's own, and no stranger may use it, unless the owner says so."""


def current() -> Settings:
    """Return the settings of the present environment. It is parsed again only if a value changed."""
    global _seen  # noqa: PLW0603 - the last environment and its settings
    # Every request asks twice. To compare the dict inside `os.environ` takes a microsecond, to ask for each
    # name takes fifty.
    raw: dict[Any, Any] | None = getattr(os.environ, "_data", None)
    if _seen is not None and raw is not None and raw == _seen[0]:
        return _seen[1]
    settings = _parsed(tuple(os.environ.get(name) for name in _NAMES))
    _seen = None if raw is None else (raw.copy(), settings)
    return settings


_seen: tuple[dict[Any, Any], Settings] | None = None


@lru_cache(maxsize=8)
def _parsed(values: tuple[str | None, ...]) -> Settings:
    return Settings.from_env(
        {name: value for name, value in zip(_NAMES, values, strict=True) if value is not None}
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in (piece.strip() for piece in text.split(",")) if name)


def _keys(text: str) -> tuple[str, ...]:
    keys = _names(text)
    for place, key in enumerate(keys, 1):
        # A hash with a mistake must not become a clear key: a reader of the hash could use it.
        if key.lower().startswith("sha256") and not HASHED_KEY.fullmatch(key):
            raise ValueError(
                "must hold keys, or sha256: and the 64 hexadecimal digits of a key's hash; "
                f"entry {place} is neither"
            )
    return keys


@lru_cache(maxsize=8)
def key_digests(api_keys: tuple[str, ...]) -> tuple[bytes, ...]:
    """Return the SHA-256 of each key. An entry `sha256:…` is the hash of its key already."""
    hashed = ((key, HASHED_KEY.fullmatch(key)) for key in api_keys)
    return tuple(bytes.fromhex(match[1]) if match else key_digest(key) for key, match in hashed)


def key_digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


MIN_SECRET_CHARS = 16


def _secret(text: str) -> str:
    if len(text) < MIN_SECRET_CHARS:
        raise ValueError(f"must have {MIN_SECRET_CHARS} characters or more")
    return text


def _boolean(text: str) -> bool:
    yes, no = (
        dict.fromkeys(("true", "1", "yes", "on"), True),
        dict.fromkeys(("false", "0", "no", "off"), False),
    )
    known = yes | no
    if text.lower() not in known:
        raise ValueError("must be true or false")
    return known[text.lower()]


def _seconds(text: str) -> float:
    seconds = _seconds_from_zero(text)
    if seconds == 0:
        raise ValueError("must be more than 0 seconds")
    return seconds


def _seconds_from_zero(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise ValueError("must be a number of seconds, such as 30 or 2.5") from None
    if not 0 <= seconds < float("inf"):
        raise ValueError("must be a finite number of seconds, 0 or more")
    return seconds


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise ValueError("must be a whole number of bytes, 1 or more, with digits only")
    return int(text)


def _http_url(text: str) -> str:
    if not re.match(r"https?://[^/?#]", text):
        raise ValueError("must begin with http:// or https:// and a host")
    return text.rstrip("/")


_NOT_FOR_GATEWAYS = {
    "/coding/": (
        "must not be a base of the Coding Plan: the plan's terms allow the vendor's listed coding tools "
        "only. Use https://open.bigmodel.cn/api/paas/v4 or https://api.z.ai/api/paas/v4"
    ),
    "/anthropic": (
        "must not be the Anthropic-compatible base: the gateway translates Anthropic's format itself. "
        "Use https://open.bigmodel.cn/api/paas/v4 or https://api.z.ai/api/paas/v4"
    ),
}


def _official_base_url(text: str) -> str:
    url = _http_url(text)
    for part, reason in _NOT_FOR_GATEWAYS.items():
        if part in f"{unquote(url).lower()}/":
            raise ValueError(reason)
    return url


_OFFICIAL_KEY = re.compile(r"[!-~]+")


def _official_keys(text: str) -> tuple[str, ...]:
    keys = tuple(dict.fromkeys(_names(text)))
    for place, key in enumerate(keys, 1):
        if key.startswith("eyJ") and key.count(".") == 2:
            raise ValueError(f"must hold keys of the official API; entry {place} is a chatglm.cn token")
        if not _OFFICIAL_KEY.fullmatch(key):
            raise ValueError(f"must hold keys in printable ASCII without spaces; entry {place} is none")
    return keys


def _model_name(text: str) -> str:
    """Read the name of a model of the official API; `api/` before it says nothing new.

    The vendor's names have small letters, and its API takes no others.
    """
    name = _header_value(text).strip().lower().removeprefix("api/").strip()
    if not name:
        raise ValueError("must be the name of a model")
    return name


def _header_value(text: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise ValueError("must be printable ASCII, because it is sent in a header")
    return text


def _tool_syntax(text: str) -> ToolSyntax:
    for known in get_args(ToolSyntax):
        if text.lower() == known:
            return cast("ToolSyntax", known)
    raise ValueError("must be blocks, calls or dsml")


def _log_format(text: str) -> LogFormat:
    for known in get_args(LogFormat):
        if text.lower() == known:
            return cast("LogFormat", known)
    raise ValueError("must be auto, text or json")


def _log_level(text: str) -> str:
    levels = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
    if text.upper() not in levels:
        raise ValueError(f"must be one of {', '.join(levels)}")
    return text.upper()


_FIELDS: dict[str, tuple[str, Callable[[str], object]]] = {
    "refresh_tokens": ("CHATGLM_REFRESH_TOKENS", _names),
    "api_keys": ("API_KEYS", _keys),
    "allow_passthrough": ("ALLOW_PASSTHROUGH", _boolean),
    "base_url": ("CHATGLM_BASE_URL", _http_url),
    "sign_secret": ("CHATGLM_SIGN_SECRET", _header_value),
    "app_version": ("CHATGLM_APP_VERSION", _header_value),
    "user_agent": ("CHATGLM_USER_AGENT", _header_value),
    "assistant_id": ("CHATGLM_ASSISTANT_ID", _header_value),
    "drawing_assistant_id": ("CHATGLM_DRAWING_ASSISTANT_ID", _header_value),
    "default_model": ("CHATGLM_DEFAULT_MODEL", _header_value),
    "web_search": ("CHATGLM_WEB_SEARCH", _boolean),
    "official_keys": ("GLM_API_KEYS", _official_keys),
    "official_base_url": ("GLM_API_BASE_URL", _official_base_url),
    "official_default_model": ("GLM_API_DEFAULT_MODEL", _model_name),
    "fallback_model": ("FALLBACK_MODEL", _model_name),
    "tool_syntax": ("TOOL_SYNTAX", _tool_syntax),
    "store_secret": ("STORE_SECRET", _secret),
    "max_duration_s": ("MAX_DURATION_S", _seconds),
    "connect_timeout_s": ("CONNECT_TIMEOUT_S", _seconds),
    "first_content_timeout_s": ("FIRST_CONTENT_TIMEOUT_S", _seconds),
    "idle_timeout_s": ("IDLE_TIMEOUT_S", _seconds),
    "heartbeat_s": ("HEARTBEAT_S", _seconds),
    "account_wait_s": ("ACCOUNT_WAIT_S", _seconds_from_zero),
    "max_body_bytes": ("MAX_BODY_BYTES", _count),
    "max_file_bytes": ("MAX_FILE_BYTES", _count),
    "fetch_allow_hosts": ("FETCH_ALLOW_HOSTS", _names),
    "capture_dir": ("CAPTURE_DIR", str),
    "log_level": ("LOG_LEVEL", _log_level),
    "log_format": ("LOG_FORMAT", _log_format),
}
_NAMES = (
    *(name for name, _ in _FIELDS.values()),
    "VERCEL",
    "AWS_LAMBDA_FUNCTION_NAME",
    *ENVIRONMENT_NAMES,
)
