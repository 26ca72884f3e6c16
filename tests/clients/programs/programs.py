"""The programs, how each is pointed at the gateway, and a throw-away home to run them in."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.clients.offline import OFFLINE
from tests.support.client import KEY

TIMEOUT_S = 240
"""A run takes 3 to 10 seconds on two cores; a machine that does other work takes longer."""
MODEL = "glm-5.3"


def modules() -> Path:
    return Path(os.environ["CLIENTS_NODE"]) / "node_modules"


def node() -> str:
    """Return the node of the packages: qwen-code wants 22 or later, and a machine may have an older one."""
    return next(iter(_find("node-*/bin/node")), "node")


def _find(pattern: str) -> list[str]:
    """Return the path of a package's program; npm has installed only those for this system."""
    return [str(path) for path in modules().glob(pattern)][:1]


@dataclass(frozen=True)
class Place:
    """A throw-away home, a work folder, and the gateway's address."""

    home: Path
    work: Path
    url: str
    key: str = KEY

    def write(self, path: str, content: object) -> None:
        """Write a file below the home; a value that is no text as JSON."""
        file = self.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """Return a whole environment: nothing of the caller's but the path."""
        return {
            **OFFLINE,
            "HOME": str(self.home),
            "TMPDIR": str(self.home),
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "DO_NOT_TRACK": "1",
            **more,
        }


@dataclass(frozen=True)
class Program:
    name: str
    find: Callable[[], list[str]]
    """Return the command; empty if there is no package for this system."""
    arguments: Sequence[str]
    """The arguments for a single task, with the prompt on the standard input."""
    settings: Callable[[Place], Mapping[str, str]]
    """Write the program's settings, and return its environment."""
    write: Callable[[Path, str], str]
    """The call, in a directive of the simulator, that writes a file with the program's own tool."""


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


def run(program: Program, place: Place, prompt: str) -> Ended:
    """Run the program to its end. The processes that it started end with it."""
    with subprocess.Popen(
        [*program.find(), *program.arguments],
        cwd=place.work,
        env=place.environment(program.settings(place)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(prompt, timeout=TIMEOUT_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return Ended(process.returncode, out, err)


# opencode


def _opencode_settings(place: Place) -> dict[str, str]:
    place.write(
        ".config/opencode/opencode.json",
        {
            "autoupdate": False,
            "share": "disabled",
            "permission": {"edit": "allow"},
            "provider": {
                "gateway": {
                    "npm": "@ai-sdk/openai-compatible",
                    "options": {"baseURL": f"{place.url}/v1", "apiKey": place.key},
                    "models": {MODEL: {"limit": {"context": 128_000, "output": 8_000}}},
                }
            },
        },
    )
    names = ("AUTOUPDATE", "MODELS_FETCH", "LSP_DOWNLOAD", "DEFAULT_PLUGINS")
    return {f"OPENCODE_DISABLE_{name}": "1" for name in names}


OPENCODE = Program(
    "opencode",
    lambda: _find("opencode-*/bin/opencode"),
    ["run", "-m", f"gateway/{MODEL}"],
    _opencode_settings,
    lambda path, content: f"write {json.dumps({'filePath': str(path), 'content': content})}",
)


# qwen-code


def _qwen_settings(place: Place) -> dict[str, str]:
    place.write(
        ".qwen/settings.json",
        {
            "privacy": {"usageStatisticsEnabled": False},
            "telemetry": {"enabled": False},
            "general": {"enableAutoUpdate": False},
        },
    )
    return {"OPENAI_BASE_URL": f"{place.url}/v1", "OPENAI_API_KEY": place.key, "OPENAI_MODEL": MODEL}


QWEN = Program(
    "qwen-code",
    lambda: [node(), str(modules() / "@qwen-code" / "qwen-code" / "cli-entry.js")],
    ["--auth-type", "openai", "--yolo"],
    _qwen_settings,
    lambda path, content: f"write_file {json.dumps({'file_path': str(path), 'content': content})}",
)


# gemini-cli


def _gemini_settings(place: Place) -> dict[str, str]:
    place.write(
        ".gemini/settings.json",
        {
            "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}},
            "privacy": {"usageStatisticsEnabled": False},
            "telemetry": {"enabled": False},
            "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False},
        },
    )
    return {"GOOGLE_GEMINI_BASE_URL": place.url, "GEMINI_API_KEY": place.key}


GEMINI = Program(
    "gemini-cli",
    lambda: [node(), str(modules() / "@google" / "gemini-cli" / "bundle" / "gemini.js")],
    ["-m", MODEL, "--yolo"],
    _gemini_settings,
    lambda path, content: f"write_file {json.dumps({'file_path': str(path), 'content': content})}",
)


# claude-code


def _claude_settings(place: Place) -> dict[str, str]:
    models = ("MODEL", "SMALL_FAST_MODEL", "DEFAULT_HAIKU_MODEL")
    return {
        "ANTHROPIC_BASE_URL": place.url,
        "ANTHROPIC_API_KEY": place.key,
        **{f"ANTHROPIC_{name}": MODEL for name in models},
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        **dict.fromkeys(("DISABLE_TELEMETRY", "DISABLE_AUTOUPDATER", "DISABLE_ERROR_REPORTING"), "1"),
    }


CLAUDE = Program(
    "claude-code",
    lambda: _find("@anthropic-ai/claude-code-*/claude"),
    ["-p", "--output-format", "text", "--allowedTools", "Write", "--permission-mode", "acceptEdits"],
    _claude_settings,
    lambda path, content: f"Write {json.dumps({'file_path': str(path), 'content': content})}",
)


# codex


def _codex_settings(place: Place) -> dict[str, str]:
    place.write(
        ".codex/config.toml",
        f"""
model = "{MODEL}"
model_provider = "gateway"
check_for_update_on_startup = false

[features]
plugins = false
apps = false

[analytics]
enabled = false

[model_providers.gateway]
name = "gateway"
base_url = "{place.url}/v1"
env_key = "GATEWAY_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
""",
    )
    return {"GATEWAY_KEY": place.key}


def _codex_write(path: Path, content: str) -> str:
    """codex has no tool for files but its shell."""
    folder, file = shlex.quote(str(path.parent)), shlex.quote(str(path))
    command = f"mkdir -p {folder} && printf %s {shlex.quote(content)} > {file}"
    return f"exec_command {json.dumps({'cmd': command})}"


CODEX = Program(
    "codex",
    lambda: _find("codex-*/vendor/*/bin/codex"),
    ["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"],
    _codex_settings,
    _codex_write,
)

PROGRAMS = [CLAUDE, CODEX, GEMINI, OPENCODE, QWEN]
