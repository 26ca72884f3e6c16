"""vercel.json, but for its routes; tests/system/deploy/vercel has Vercel's own builder."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lib import settings

ROOT = Path(__file__).resolve().parents[2]
MAX_GLOB = 256
"""What Vercel takes for `excludeFiles`."""


def _config() -> dict[str, Any]:
    config: dict[str, Any] = json.loads((ROOT / "vercel.json").read_text())
    return config


def test_each_file_is_a_function_of_its_own() -> None:
    assert "framework" in _config()
    assert _config()["framework"] is None, "the preset would make one function of the whole project"


def test_functions_may_run_as_long_as_the_gateway_believes() -> None:
    (limits,) = _config()["functions"].values()
    assert limits["maxDuration"] == settings.VERCEL_MAX_DURATION_S
    assert len(limits["excludeFiles"]) <= MAX_GLOB


def test_the_deploy_button_asks_for_settings_that_exist() -> None:
    buttons = re.findall(
        r"https://vercel\.com/new/clone\?[^)\s]+", (ROOT / "docs/deploy-vercel.md").read_text()
    )
    assert len(buttons) == 2
    for button in buttons:
        query = parse_qs(urlsplit(button).query)
        asked = set(query["env"][0].split(","))
        # With a store, the owner adds the account on the page. Without one, it could not be kept.
        assert asked == ({"API_KEYS"} if "products" in query else {"CHATGLM_REFRESH_TOKENS", "API_KEYS"})
        assert asked <= {name for name, _ in settings._FIELDS.values()}
