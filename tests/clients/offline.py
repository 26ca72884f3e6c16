"""What keeps a client on this machine: a proxy that does not answer, for every address but 127.0.0.1."""

from __future__ import annotations

_NOWHERE = "http://127.0.0.1:9"
"""Port 9 (discard) is closed: a connection is refused at once."""

OFFLINE = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), _NOWHERE),
    **dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), _NOWHERE),
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
}
