"""Dockerfile, compose.yaml and what docs/deploy-box.md shows, read by the tools that are made for them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from hosts.box.arguments import GRACE_S
from hosts.box.ending import TELL_S
from hosts.box.server import CLEAN_UP_S
from tests.system.deploy.box.image import Dockerfile
from tests.system.deploy.conftest import ROOT, unavailable


def test_hadolint_finds_nothing(tools: Path) -> None:
    done = subprocess.run(
        [tools / "hadolint", ROOT / "Dockerfile"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.fixture
def service(tools: Path, tmp_path: Path) -> dict[str, Any]:
    """Read compose.yaml as docker compose understands it, with an owner's .env."""
    (tmp_path / ".env").write_text("CHATGLM_REFRESH_TOKENS='a$b'\nAPI_KEYS=sk-1,sk-2\n")
    command = [str(tools / "docker-compose"), "--project-directory", str(tmp_path)]
    done = subprocess.run(
        [*command, "--file", str(ROOT / "compose.yaml"), "config", "--format", "json"],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    service: dict[str, Any] = json.loads(done.stdout)["services"]["gateway"]
    return service


def test_compose_gives_the_container_no_more_than_it_needs(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert [port["host_ip"] for port in service["ports"]] == ["127.0.0.1"]
    assert service["environment"]["API_KEYS"] == "sk-1,sk-2"
    assert "privileged" not in service
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}


def test_compose_works_without_an_env_file_and_takes_another_port_and_index(
    tools: Path, tmp_path: Path
) -> None:
    command = [str(tools / "docker-compose"), "--project-directory", str(tmp_path)]
    done = subprocess.run(
        [*command, "--file", str(ROOT / "compose.yaml"), "config", "--format", "json"],
        capture_output=True,
        text=True,
        timeout=60,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PORT": "9000",
            "PIP_INDEX_URL": "https://x/simple",
        },
        check=False,
    )
    assert done.returncode == 0, done.stderr
    service = json.loads(done.stdout)["services"]["gateway"]
    assert [port["published"] for port in service["ports"]] == ["9000"]
    assert service["build"]["args"] == {"PIP_INDEX_URL": "https://x/simple"}


def test_compose_leaves_a_dollar_alone_in_quotes(service: dict[str, Any]) -> None:
    """As docs/deploy-box.md says; without them it would be a reference to a variable b, which is empty."""
    value = service["environment"]["CHATGLM_REFRESH_TOKENS"]
    assert value.replace("$$", "$") == "a$b"  # doubled: what `config` prints is a compose file again


class Health(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/ping" else 404)
        self.end_headers()

    def log_request(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(("status", "exit_code"), [(200, 0), (500, 1), (302, 1)])
def test_the_health_check_asks_the_server_itself_whatever_proxy_is_set(
    dockerfile: Dockerfile, monkeypatch: pytest.MonkeyPatch, status: int, exit_code: int
) -> None:
    monkeypatch.setattr(Health, "status", status)
    with HTTPServer(("127.0.0.1", 0), Health) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        _, *check = (part.replace(":8000", f":{server.server_port}") for part in dockerfile.health_check)
        nobody = "http://127.0.0.1:1"
        environ = {"http_proxy": nobody, "HTTP_PROXY": nobody, "ALL_PROXY": nobody}
        done = subprocess.run([sys.executable, *check], env=environ, timeout=30, check=False)
    assert done.returncode == exit_code


def test_the_state_outlives_the_container_wherever_it_runs(
    service: dict[str, Any], dockerfile: Dockerfile
) -> None:
    store = dockerfile.environ["STORE_URL"]
    assert store == service["environment"]["STORE_URL"]
    assert [(volume["type"], volume["target"]) for volume in service["volumes"]] == [("volume", "/data")]
    render = (ROOT / "render.yaml").read_text()
    assert "plan: free\n" in render, "which has no disk"
    assert "value: upstash://\n" in render
    asked = set(re.findall(r"key: (\w+)\n {8}sync: false", render))
    assert asked == {"UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN"}


def test_the_hosts_wait_longer_than_the_server_takes_to_end(service: dict[str, Any]) -> None:
    longest_s = GRACE_S + CLEAN_UP_S
    assert int(service["stop_grace_period"].removesuffix("s")) > longest_s
    delay = re.search(r"maxShutdownDelaySeconds: (\d+)", (ROOT / "render.yaml").read_text())
    assert delay is not None
    assert int(delay[1]) > longest_s
    assert GRACE_S + TELL_S < 10, "docker stop kills after 10 s"


def shown(language: str) -> str:
    """Return the one block of this language in docs/deploy-box.md."""
    document = (ROOT / "docs/deploy-box.md").read_text()
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", document, re.MULTILINE | re.DOTALL)
    return str(block)


def test_systemd_takes_the_unit_that_is_shown(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        unavailable("there is no systemd-analyze")
    unit = tmp_path / "glm-gateway.service"
    # The one thing that it looks for on this machine is the program.
    unit.write_text(shown("ini").replace("/opt/glm-gateway/.venv/serve/bin/python", sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    about_it = [line for line in done.stderr.splitlines() if "glm-gateway" in line]
    assert (done.returncode, about_it) == (0, [])
    assert "TimeoutStopSec=40" in unit.read_text()
    assert GRACE_S + CLEAN_UP_S < 40


def test_nginx_takes_the_site_that_is_shown(tools: Path, tmp_path: Path) -> None:
    if not shutil.which("openssl"):
        unavailable("there is no openssl, for a certificate")
    key, certificate = tmp_path / "privkey.pem", tmp_path / "fullchain.pem"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=x"]
    subprocess.run(
        [*request, "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=60
    )
    site = re.sub(r"/etc/letsencrypt/live/[\w.]+", str(tmp_path), shown("nginx"))
    places = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = tmp_path / "nginx.conf"
    main.write_text(f"pid {tmp_path}/pid; events {{}} http {{ access_log off; {places} {site} }}")
    done = subprocess.run(
        [tools / "nginx/usr/sbin/nginx", "-t", "-e", tmp_path / "error.log", "-c", main],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
