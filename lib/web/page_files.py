"""The files of the page at `/`: read once, and served with the hash of all of them in each address."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from html import escape
from pathlib import Path

import msgspec

from lib.errors import NotFound

FOLDER = Path(__file__).resolve().parent / "page"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/svg+xml",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
"""All files of the page are text. A raster image would need base64 under Mangum (platforms.md §2.1)."""
OTHER_NAMES = {"favicon.ico": "icon.svg"}
"""Browsers ask for this name by themselves, and take an SVG there."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; "
    # A video's file is at the upstream's address. The page loads it only after a click.
    "media-src http: https:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
}
FOREVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"
_DEMO_META = '<meta name="glm-gateway-demo-key" content="{key}">\n'
_HEAD_END = "</head>"
_IN_HTML = re.compile(r'(?<==")[a-z-]+\.(?:css|js|svg)(?=")')
_IN_SCRIPT = re.compile(rb'(?<=from "\./)[a-z-]+\.js(?=")|(?<=["\'])[a-z-]+\.svg(?=["\'])')


class File(msgspec.Struct, frozen=True):
    """One file as the browser gets it."""

    body: bytes
    media_type: str


class Page(msgspec.Struct, frozen=True):
    """All files of the page. `version` is their common hash: one changed file gives all a new address."""

    version: str
    html: str
    files: dict[str, File]

    def document(self, demo_key: str = "") -> bytes:
        """Write the html. The demo's page knows the demo's key."""
        if not demo_key:
            return self.html.encode()
        meta = _DEMO_META.format(key=escape(demo_key))
        return self.html.replace(_HEAD_END, meta + _HEAD_END, 1).encode()

    def file(self, name: str) -> File:
        """Return the file. Raise NotFound for any other name; the html has the address `/` alone."""
        found = self.files.get(OTHER_NAMES.get(name, name))
        if found is None:
            raise NotFound(f"The page has no file {name!r}.")
        return found

    def cache_control(self, version: str | None) -> str:
        """A browser keeps a file for good if the address names the file's version."""
        return FOREVER if version == self.version else ASK_AGAIN


@lru_cache(maxsize=1)
def read_page() -> Page:
    """Read the files at the first request, because no other cold start needs them."""
    return page_of(
        {path.name: path.read_bytes() for path in sorted(FOLDER.iterdir()) if path.suffix in TYPES}
    )


def page_of(sources: dict[str, bytes]) -> Page:
    """Write the version into every address between the files."""
    joined = b"".join(name.encode() + b"\0" + source + b"\0" for name, source in sorted(sources.items()))
    version = hashlib.sha256(joined).hexdigest()[:12]
    html = _IN_HTML.sub(lambda found: f"{found[0]}?v={version}", sources["index.html"].decode())
    return Page(
        version=version,
        html=html,
        files={
            name: File(_versioned(name, source, version), TYPES[Path(name).suffix])
            for name, source in sources.items()
            if name != "index.html"
        },
    )


def _versioned(name: str, source: bytes, version: str) -> bytes:
    if not name.endswith(".js"):
        return source
    return _IN_SCRIPT.sub(lambda found: found[0] + b"?v=" + version.encode(), source)
