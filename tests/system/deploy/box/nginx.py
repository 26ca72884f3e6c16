"""A real nginx with Debian's own configuration, on a port of its own."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.waiting import wait_until

SITE = """
server {{
    listen 127.0.0.1:{port};
    location / {{
        proxy_pass {to};
{more}
    }}
}}
"""
"""All that somebody writes who follows the first tutorial; `more` is only ever a shorter timeout."""


class Nginx:
    """`with Nginx(...) as nginx:` proxies nginx.url to `to`, until the block ends."""

    def __init__(self, package: Path, folder: Path, to: str, *more: str) -> None:
        self._program = package / "usr/sbin/nginx"
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._port = port
        shutil.copytree(package / "etc/nginx", folder / "etc")
        main = folder / "etc/nginx.conf"
        # Debian's nginx.conf as it is, but for its places: it is not installed, and nobody's /var is written.
        text = main.read_text().replace("/etc/nginx/", f"{folder}/etc/")
        text = text.replace("/var/log/nginx/", f"{folder}/").replace("/run/nginx.pid", f"{folder}/nginx.pid")
        text = re.sub(r"(?m)^(user|include .*modules-enabled).*\n", "", text)
        # As whoever runs the tests: www-data could not enter their folders.
        main.write_text(f"user {getpass.getuser()};\n{text}" if os.geteuid() == 0 else text)
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        places = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
        (folder / "etc/conf.d/places.conf").write_text(places)
        for site in (folder / "etc/sites-enabled").iterdir():
            site.unlink()
        settings = "\n".join(f"        {line};" for line in more)
        (folder / "etc/sites-enabled/gateway").write_text(SITE.format(port=port, to=to, more=settings))

    @property
    def complaints(self) -> str:
        log = self._folder / "error.log"
        return log.read_text() if log.exists() else ""

    def __enter__(self) -> Self:
        command = [self._program, "-e", self._folder / "error.log", "-c", self._folder / "etc/nginx.conf"]
        self._process = subprocess.Popen([*map(str, command), "-g", "daemon off;"])
        wait_until(self._is_open, 10, f"nginx listens; it says: {self.complaints}")
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait(10)

    def _is_open(self) -> bool:
        assert self._process.poll() is None, f"nginx ended: {self.complaints}"
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self._port)) == 0
