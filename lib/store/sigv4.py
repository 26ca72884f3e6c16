"""AWS's request signature, version 4, for DynamoDB's requests: a POST to / without a query.

By hand: it is forty lines, and AWS publishes test vectors (tests/unit/store/test_sigv4.py). botocore's
signing alone makes a cold start 150 ms longer, and boto3 with a client 300 ms (docs/deploy-aws.md).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Credentials:
    key_id: str = field(repr=False)
    secret: str = field(repr=False)
    session_token: str = field(default="", repr=False)
    """A role's credentials have one, and so has every function on Lambda."""


def sign(
    headers: Mapping[str, str],
    body: bytes,
    credentials: Credentials,
    *,
    region: str,
    service: str,
    now: float,
) -> dict[str, str]:
    """Return the headers to send: the given ones (`host` among them) in lower case, and the signature's."""
    time = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    signed = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    signed["x-amz-date"] = time
    if credentials.session_token:
        signed["x-amz-security-token"] = credentials.session_token
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
    request = f"POST\n/\n\n{lines}\n{names}\n{_sha256(body)}"
    scope = f"{time[:8]}/{region}/{service}/aws4_request"
    key = f"AWS4{credentials.secret}".encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    signature = _hmac(key, f"{ALGORITHM}\n{time}\n{scope}\n{_sha256(request.encode())}").hex()
    signed["authorization"] = (
        f"{ALGORITHM} Credential={credentials.key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return signed


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
