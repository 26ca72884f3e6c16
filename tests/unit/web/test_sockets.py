from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from lib.dialects.openai_errors import error_body
from lib.web import sockets
from lib.web.app import create_app
from lib.web.sockets import send_at_once


def _listener() -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)  # as Vercel's runtime makes it
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


def _is_at_once(connection: socket.socket) -> bool:
    return bool(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
def test_what_is_accepted_after_the_start_sends_at_once() -> None:
    with _listener() as listener:
        with TestClient(create_app(error_body=error_body)):  # runs the lifespan, as a server does
            assert _is_at_once(listener)
        with socket.create_connection(listener.getsockname()):
            accepted, _ = listener.accept()
            with accepted:
                assert _is_at_once(accepted)


def test_other_descriptors_are_left_alone(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w"), _listener() as listener, socket.socket(socket.AF_UNIX) as local:
        local.bind(str(tmp_path / "socket"))
        local.listen()
        with socket.create_connection(listener.getsockname()) as connection:
            send_at_once()
            assert not _is_at_once(connection)


def test_a_system_without_proc_goes_without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sockets, "DESCRIPTORS", str(tmp_path / "none"))
    with _listener() as listener:
        send_at_once()
        assert not _is_at_once(listener)
