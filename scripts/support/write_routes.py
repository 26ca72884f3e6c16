"""Write the hosts' routes from the table in hosts/routes.py. See scripts/support/write-routes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from hosts.routes import ENDPOINTS, Endpoint

ROOT = Path(__file__).resolve().parents[2]
VERCEL = ROOT / "vercel.json"
AWS = ROOT / "hosts/aws/routes.yml"
_REWRITES = re.compile(r'(?<=^  "rewrites": \[\n).*?(?=^  \])', re.MULTILINE | re.DOTALL)
_AWS_HEAD = """\
# Written by scripts/support/write-routes from the table in hosts/routes.py: the events of the functions in
# serverless.yml.
"""
_STREAM = ", timeoutInMillis: 900000, response: { transferMode: STREAM }"
"""An answer may take as long as API Gateway and Lambda allow."""


def main() -> None:
    VERCEL.write_text(vercel_json(VERCEL.read_text()))
    AWS.write_text(aws_events())


def vercel_json(text: str) -> str:
    """Put the rewrites of the table in place of those in the text."""
    lines = [f"    {{ {json.dumps(line)[1:-1]} }}" for line in rewrites()]
    written, count = _REWRITES.subn(lambda _: ",\n".join(lines) + "\n", text)
    if count != 1:
        raise ValueError('expected one list "rewrites" in vercel.json')
    return written


def rewrites() -> list[dict[str, str]]:
    """Make one line for each path and everything below it, the longest paths first; then one more for each
    path below anything else, as a wrong base URL makes it; the index takes the rest.

    Each is written out, because "/(.*)" to "/api/$1" would leave it to the host what becomes of a path that
    is no file (a model's name, an id). The groups have no name, because Vercel adds the match of a named one
    to the query.
    """
    files = {_above(path): endpoint.file for endpoint in ENDPOINTS for path in endpoint.all_paths}
    names = sorted(
        (path for path in files if path not in {"", "/api"}), key=lambda name: (-name.count("/"), name)
    )
    lines = [{"source": f"{name}/(.*)?", "destination": _destination(files[name])} for name in names]
    return [*lines, *_odd_rewrites(), {"source": "/(.*)", "destination": _destination(files[""])}]


def _odd_rewrites() -> list[dict[str, str]]:
    """The function gets the odd path and answers as meant (lib/web/paths.py), or with a 404 of its own."""
    files = {
        _above(path.removeprefix("/v1") if path.startswith("/v1/") else path): endpoint.file
        for endpoint in ENDPOINTS
        for path in endpoint.paths
        if path.startswith(("/v1/", "/v1beta/"))
    }
    names = sorted(files, key=lambda name: (-name.count("/"), name))
    return [{"source": f"/(.*)?{name}/(.*)?", "destination": _destination(files[name])} for name in names]


def _above(path: str) -> str:
    return path.removesuffix("*").removesuffix("/")


def _destination(file: str) -> str:
    return "/" + file.removesuffix(".py")


def aws_events() -> str:
    return _AWS_HEAD + "".join("\n".join([f"{e.function}:", *_events(e), ""]) for e in ENDPOINTS)


def _events(endpoint: Endpoint) -> Iterator[str]:
    for path in (*endpoint.all_paths, *endpoint.bare_paths):
        place = path if path == "/" else path.removeprefix("/").replace("*", "{proxy+}")
        quoted = f"'{place}'" if "{" in place else place
        yield f"  - http: {{ method: any, path: {quoted}{_STREAM if endpoint.streams else ''} }}"


if __name__ == "__main__":
    main()
