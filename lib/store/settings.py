"""The settings of a store, typed; read from STORE_URL and the variables that complete it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import chain
from typing import ClassVar

import msgspec


class MemorySettings(msgspec.Struct, frozen=True):
    """The memory of this process."""

    scheme: ClassVar[str] = "memory"
    is_local: ClassVar[bool] = True


class SqliteSettings(msgspec.Struct, frozen=True):
    """A file."""

    path: str

    scheme: ClassVar[str] = "sqlite"
    is_local: ClassVar[bool] = True


class RedisSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A Redis, by its own protocol."""

    host: str
    port: int = 6379
    database: int = 0
    username: str = ""
    password: str = ""
    is_encrypted: bool = False

    is_local: ClassVar[bool] = False

    @property
    def scheme(self) -> str:
        return "rediss" if self.is_encrypted else "redis"

    def __repr__(self) -> str:
        return f"RedisSettings({self.host!r})"


class UpstashSettings(msgspec.Struct, frozen=True):
    """A Redis behind REST."""

    url: str
    token: str

    scheme: ClassVar[str] = "upstash"
    is_local: ClassVar[bool] = False

    def __repr__(self) -> str:
        return f"UpstashSettings({self.url!r})"


class DynamoSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A table of DynamoDB, and the credentials of a function or its owner."""

    table: str
    region: str
    key_id: str
    secret: str
    session_token: str = ""
    """A role's credentials have one, and so has every function on Lambda."""
    endpoint: str = ""
    """If it is empty, the endpoint of the region serves."""

    scheme: ClassVar[str] = "dynamodb"
    is_local: ClassVar[bool] = False

    def __repr__(self) -> str:
        return f"DynamoSettings({self.table!r}, region={self.region!r})"


StoreSettings = MemorySettings | SqliteSettings | RedisSettings | UpstashSettings | DynamoSettings

SCHEMES = ("memory", "sqlite", "redis", "rediss", "upstash", "dynamodb")

_UPSTASH = (
    ("KV_REST_API_URL", "KV_REST_API_TOKEN"),  # As Vercel's integration names them.
    ("UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN"),
)
_AWS = (
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_DYNAMODB",
)
ENVIRONMENT_NAMES = ("STORE_URL", *_AWS, *chain(*_UPSTASH))
"""The variables that `read_store_settings` looks at."""

_REDIS_URL = re.compile(
    r"rediss?://"
    r"([^\s/?#@]*@)?"
    r"([^\s/?#@:\[\]]+|\[[0-9A-Fa-f:.]+\])"
    r"(:(?P<port>[0-9]{1,5}))?"
    r"(/[0-9]{0,9})?"
)


def read_store_settings(environ: Mapping[str, str]) -> StoreSettings:
    """Read STORE_URL; without it, an Upstash if its integration is there, else this process's memory.

    Raise ValueError for a URL that names no store, or too little. The message quotes nothing of it.
    """
    url = environ.get("STORE_URL", "").strip()
    if url in ("", "upstash://"):
        return _upstash(environ, is_named=bool(url))
    if url.startswith("memory://"):
        return MemorySettings()
    if url.startswith("sqlite:///"):
        return _sqlite(url)
    if url.startswith(("redis://", "rediss://")):
        return _redis(url)
    if url.startswith("dynamodb://"):
        return _dynamodb(url, environ)
    known = "sqlite:///path, redis://, rediss://, upstash://, dynamodb://table?region=region"
    raise ValueError(f"must be memory:// or one of {known}")


def _sqlite(url: str) -> SqliteSettings:
    path = url.removeprefix("sqlite:///")
    if not path:
        raise ValueError("must be sqlite:///relative/path or sqlite:////absolute/path")
    return SqliteSettings(path)


def _redis(url: str) -> RedisSettings:
    from urllib.parse import unquote, urlsplit

    match = _REDIS_URL.fullmatch(url)
    if not match or int(match["port"] or 0) > 65535:
        raise ValueError(
            "must be redis[s]://[user:password@]host[:port][/number]; write special characters as %XX"
        )
    parts = urlsplit(url)
    return RedisSettings(
        host=parts.hostname or "",
        port=parts.port or 6379,
        database=int(parts.path[1:] or 0),
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        is_encrypted=parts.scheme == "rediss",
    )


def _upstash(environ: Mapping[str, str], *, is_named: bool) -> StoreSettings:
    """Read the variables that Upstash's integrations set."""
    for url_name, token_name in _UPSTASH:
        url, token = environ.get(url_name, "").strip(), environ.get(token_name, "").strip()
        if url and token:
            if not _is_address(url) or not token.isascii() or not token.isprintable():
                raise ValueError(
                    f"is upstash://: {url_name} must be an https:// URL, and {token_name} must be ASCII"
                )
            address = url.rstrip("/")
            has_path = "/" in address.partition("://")[2]
            return UpstashSettings(address if has_path else f"{address}/", token)
    if is_named:
        raise ValueError(f"is upstash://: set {' and '.join(_UPSTASH[0])} too")
    return MemorySettings()


def _is_address(url: str) -> bool:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        _ = parts.port  # Raises if there is an impossible one.
    except ValueError:
        return False
    is_clean = url.isascii() and url.isprintable() and not parts.query and not parts.fragment
    return is_clean and parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc


def _dynamodb(url: str, environ: Mapping[str, str]) -> DynamoSettings:
    """Complete the table's name with a function's own credentials, under AWS's names for them."""
    from urllib.parse import parse_qsl

    table, _, query = url.removeprefix("dynamodb://").partition("?")
    options = dict(parse_qsl(query))
    region = options.get("region") or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    key_id, secret = (environ.get(name, "") for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
    if not re.fullmatch(r"[\w.-]+", table, re.ASCII) or not region:
        raise ValueError("must be dynamodb://table?region=region; or set AWS_REGION")
    if not key_id or not secret:
        raise ValueError("is dynamodb://…: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY too")
    return DynamoSettings(
        table=table,
        region=region,
        key_id=key_id,
        secret=secret,
        session_token=environ.get("AWS_SESSION_TOKEN", ""),
        endpoint=options.get("endpoint")
        or environ.get("AWS_ENDPOINT_URL_DYNAMODB")
        or environ.get("AWS_ENDPOINT_URL", ""),
    )
