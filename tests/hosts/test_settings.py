"""The settings that the hosts' files and guides name: each is one of ours, and the lists agree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lib.settings import _NAMES

ROOT = Path(__file__).parents[2]
SERVERLESS = (ROOT / "serverless.yml").read_text()
NOT_OURS = {"AWS_REGION", "AWS_DEFAULT_REGION", "RESERVED_CONCURRENCY"}
"""The deployment reads these itself."""


def passed_on() -> set[str]:
    """Return the settings that Lambda's functions get from the deployer's shell."""
    return set(re.findall(r"\$\{env:(\w+), '\w*'\}", SERVERLESS)) - NOT_OURS


def test_lambda_gets_the_settings_under_their_own_names() -> None:
    named = dict(re.findall(r"^ +(\w+): \$\{env:(\w+), '\w*'\}$", SERVERLESS, re.MULTILINE))
    assert {name: source for name, source in named.items() if name != source} == {}
    assert passed_on() == set(named)
    assert passed_on() <= set(_NAMES)


def test_lambdas_guide_lists_the_settings_that_lambda_gets() -> None:
    guide = (ROOT / "docs/deploy-aws.md").read_text()
    row = next(line for line in guide.splitlines() if line.startswith("| `API_KEYS`"))
    assert set(re.findall(r"`(\w+)`", row)) == passed_on()


@pytest.mark.parametrize(
    "name",
    [
        "GLM_API_KEYS",
        "GLM_API_BASE_URL",
        "GLM_API_DEFAULT_MODEL",
        "FALLBACK_MODEL",
        "STORE_SECRET",
        "TOOL_SYNTAX",
        "LOG_FORMAT",
    ],
)
def test_lambda_gets_the_setting(name: str) -> None:
    assert name in passed_on()


@pytest.mark.parametrize("guide", ["deploy-vercel", "deploy-vercel.zh-CN", "deploy-box", "deploy-box.zh-CN"])
def test_each_guide_names_the_settings_of_the_official_api(guide: str) -> None:
    text = (ROOT / f"docs/{guide}.md").read_text()
    missing = {"GLM_API_KEYS", "GLM_API_BASE_URL", "FALLBACK_MODEL"} - set(re.findall(r"`(\w+)`", text))
    assert missing == set()


def test_the_button_asks_for_no_setting_that_can_stay_empty() -> None:
    pages = ("README.md", "README.zh-CN.md", "docs/deploy-vercel.md", "docs/deploy-vercel.zh-CN.md")
    asked = {
        name
        for page in pages
        for names in re.findall(r"vercel\.com/new/clone\?[^)]*\benv=([\w,%]+)", (ROOT / page).read_text())
        for name in re.split(",|%2C", names)
    }
    assert asked
    assert asked <= {"API_KEYS", "CHATGLM_REFRESH_TOKENS"}
