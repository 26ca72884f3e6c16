"""A folder of small files in place of api/, and the environment of an owner."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Upstream
from tests.hosts.box.served import (
    write_file,
)
from tests.support.client import KEY


@pytest.fixture
def api_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "api"
    write_file(folder, "index.py", "/", "/api/index")
    write_file(folder, "v1/models.py", "/v1/models", "/v1/models/{id}", "/api/v1/models")
    write_file(
        folder,
        "v1/chat/completions.py",
        "/v1/chat/completions",
        "/api/v1/chat/completions",
        methods=("POST",),
    )
    return folder


@pytest.fixture
def owned(upstream: Upstream, tmp_path: Path) -> dict[str, str]:
    """The environment of an owner with two accounts and a store on disk."""
    tokens = [upstream.add_account().token for _ in range(2)]
    return {
        "CHATGLM_BASE_URL": upstream.base_url,
        "CHATGLM_REFRESH_TOKENS": ",".join(tokens),
        "API_KEYS": KEY,
        "STORE_URL": f"sqlite:///{tmp_path}/state.db",
        "no_proxy": "127.0.0.1",
    }
