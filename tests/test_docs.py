"""What the documents say is true: settings, errors, endpoints, links, the rooms, and every example."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import pytest
from starlette.routing import Route

from hosts.box.demo import DEMO_KEY
from hosts.box.mounting import API_FOLDER, mount
from hosts.box.terminal import demo_greeting
from lib import errors, settings
from lib.dialects.openai_errors import type_of
from lib.dialects.openai_videos import EMOTIONAL_ATMOSPHERES, MIRROR_MODES, VIDEO_STYLES
from lib.errors import GatewayError
from lib.store.settings import SCHEMES
from lib.upstreams.chatglm.wire.drawing import ASPECT_RATIOS
from tests.test_layout import ROOMS, imports_of

ROOT = Path(__file__).resolve().parents[1]
ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
DOCUMENTS = sorted(
    path
    for path in chain(ROOT.glob("*.md"), ROOT.glob("docs/**/*.md"), ROOT.glob(".github/**/*.md"))
    if path.is_file()
)
EXAMPLE_URL = "http://127.0.0.1:8000"
RUN_MARK = "<!-- run -->"
EXAMPLE_TIMEOUT_S = 60
VIDEO_PROMPT = "A ship at sea"
"""Of every example that orders a video; the scene in front of it has it done at the first look."""
CODES_FROM_ELSEWHERE = {(401, "account_blocked"), (400, "refresh_token_expired")}
"""Passed on by a variable (accounts/cooldowns.py, adding.py), where no reading of the source finds it."""

_BLOCK = re.compile(
    rf"^(?P<mark>{re.escape(RUN_MARK)}\n)?```(?P<language>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_LINK = re.compile(r"(?:\]\(|\bsrc=\")([^)\s\"]+)[)\"]")
_CODE = re.compile(r"`([^`]*)`")


# Reading a document


def blocks(path: Path) -> list[tuple[bool, str, str]]:
    """Return of every code block whether it is run, its language and its code."""
    found = _BLOCK.finditer(path.read_text(encoding="utf-8"))
    return [(match["mark"] is not None, match["language"], match["code"]) for match in found]


def prose(path: Path) -> str:
    """Return the text without its code blocks."""
    return _BLOCK.sub("", path.read_text(encoding="utf-8"))


def rows(text: str) -> Iterator[list[str]]:
    """Yield the cells of every row of every table, the heads among them."""
    for line in text.splitlines():
        if line.startswith("| "):
            yield [cell.strip() for cell in line.strip().strip("|").split(" | ")]


def anchors(path: Path) -> set[str]:
    """Name the headings as GitHub does in links."""
    headings = _HEADING.findall(prose(path))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def coded_rows(name: str, columns: int = 1) -> list[tuple[str, ...]]:
    """Return the first cells of each row of a document's tables that begins with code."""
    found = rows(prose(ROOT / name))
    return [tuple(cells[:columns]) for cells in found if _CODE.fullmatch(cells[0])]


# Settings and errors


def default_of(name: str) -> str:
    value = getattr(settings.Settings(), {name: field for field, (name, _) in settings._FIELDS.items()}[name])
    match value:
        case None | ():
            return "–"
        case bool():
            return f"`{str(value).lower()}`"
        case float():
            return f"`{value:g}`"
        case _:
            return f"`{value}`"


def test_every_setting_is_described_with_its_default_and_no_other_is() -> None:
    described = {row[0]: row[1] for row in coded_rows("docs/configuration.md", 2)}
    expected = {f"`{name}`": default_of(name) for name, _ in settings._FIELDS.values()}
    closing = "`true` if none of `API_KEYS`, `CHATGLM_REFRESH_TOKENS` and `GLM_API_KEYS` is set, else `false`"
    assert described.pop("`ALLOW_PASSTHROUGH`") == closing
    assert not settings.Settings.from_env({"API_KEYS": "k"}).allow_passthrough
    assert expected.pop("`ALLOW_PASSTHROUGH`") == "`true`"
    expected["`STORE_URL`"] = f"`{settings.Settings().store.scheme}://`"
    assert described == expected


def test_what_else_is_read_of_the_environment_is_named() -> None:
    text = prose(ROOT / "docs/configuration.md")
    assert [name for name in settings._NAMES if f"`{name}`" not in text] == []


@pytest.mark.parametrize("readme", [ENGLISH, CHINESE], ids=lambda path: path.name)
def test_a_readme_names_only_settings_that_exist(readme: Path) -> None:
    used = set(re.findall(r"`([A-Z][A-Z0-9]*_[A-Z0-9_]+)`", prose(readme)))
    assert used <= set(settings._NAMES)


def test_every_store_is_described_and_no_other_is() -> None:
    described = [cell.strip("`").partition("://") for (cell,) in coded_rows("README.md") if "://" in cell]
    assert sorted(scheme for scheme, _, _ in described) == sorted(SCHEMES)
    text = prose(ROOT / "docs/configuration.md")
    assert [scheme for scheme in SCHEMES if f"* `{scheme}://" not in text] == []


def error_classes(cls: type[GatewayError] = GatewayError) -> Iterator[type[GatewayError]]:
    yield cls
    for subclass in cls.__subclasses__():
        yield from error_classes(subclass)


def program() -> set[Path]:
    """Find the files that an endpoint can reach: what no endpoint uses yet, no client can see."""
    found: set[Path] = set()
    waiting = sorted(ROOT.glob("api/**/*.py"))
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        for _, module, _ in imports_of(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")):
            place = ROOT / module.replace(".", "/")
            # A package is its __init__.py; a name in a module is that module.
            named = (place.with_name(f"{place.name}.py"), place / "__init__.py", place.parent / "__init__.py")
            waiting += [file for file in named if module.startswith("lib") and file.is_file()]
    return found


def raised_codes() -> Iterator[tuple[int, str]]:
    """Find every `Error(…, code="…")` that an endpoint can reach."""
    for path in program():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id=name), keywords=keywords):
                    cls = getattr(errors, name, None)
                    for keyword in keywords:
                        if keyword.arg == "code" and cls and isinstance(keyword.value, ast.Constant):
                            yield cls.status, str(keyword.value.value)


def test_every_status_and_code_of_an_error_is_described_and_no_other_is() -> None:
    described = {
        (int(cells[0]), cells[1].strip("`"), cells[2].strip("`"))
        for cells in rows(prose(ROOT / "docs/errors.md"))
        if cells[0].isdigit() and len(cells) == 5
    }
    classes = list(error_classes())
    codes = {(cls.status, str(cls.code)) for cls in classes} | set(raised_codes()) | CODES_FROM_ELSEWHERE
    assert {(status, code) for status, _, code in described} == codes
    kinds = {(cls.status, type_of(cls.__new__(cls))) for cls in classes}
    assert {(status, kind) for status, kind, _ in described} == kinds


# Endpoints and rooms


def test_every_route_is_in_the_table_of_endpoints_and_no_other_is() -> None:
    apps = mount(API_FOLDER)._apps
    routes = [route for app in apps for route in app.routes if isinstance(route, Route)]
    served = {
        f"{method} {route.path.replace('{name:model}', '{name}')}"
        for route in routes
        for method in (route.methods or set()) - {"HEAD"}
        if not route.path.startswith("/api")
        and route.path
        not in ("/index", "/robots.txt", "/{name:page_file}")  # other spellings; the page's files
    }
    described = [cell.strip("`") for (cell,) in coded_rows("README.md") if re.match(r"`[A-Z]+ /", cell)]
    assert sorted(described) == sorted(served)


def test_the_table_of_rooms_is_the_one_that_is_held() -> None:
    described = {
        cells[0].strip("`"): tuple(frozenset(cell.strip("–").replace(",", "").split()) for cell in cells[1:])
        for cells in rows((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
        if cells[0].strip("`") in ROOMS and len(cells) == 4
    }
    assert described == {name: tuple(room) for name, room in ROOMS.items()}


def test_every_script_that_is_named_is_there() -> None:
    for document in DOCUMENTS:
        named = set(
            re.findall(
                r"(?<![\w/.])scripts/(?:support/)?[\w-]+(?:\.\w+)?", document.read_text(encoding="utf-8")
            )
        )
        assert [name for name in sorted(named) if not (ROOT / name).exists()] == [], document.name


def test_every_word_that_an_image_or_a_video_may_be_ordered_with_is_named() -> None:
    words = (*ASPECT_RATIOS, *VIDEO_STYLES, *EMOTIONAL_ATMOSPHERES, *MIRROR_MODES)
    assert [word for word in words if f"`{word}`" not in prose(ROOT / "docs/media.md")] == []


# The two READMEs, and links


def test_both_readmes_have_the_same_parts() -> None:
    english, chinese = (re.findall(r"^#+ ", prose(readme), re.MULTILINE) for readme in (ENGLISH, CHINESE))
    assert chinese == english
    assert blocks(CHINESE) == blocks(ENGLISH)
    assert coded_rows("README.zh-CN.md") == coded_rows("README.md")


def test_the_first_examples_are_those_that_the_demo_prints() -> None:
    printed = [line.strip() for line in demo_greeting(EXAMPLE_URL).splitlines()]
    for language in ("bash", "python"):
        example = next(code for is_run, of, code in blocks(ENGLISH) if is_run and of == language)
        assert [line.strip() for line in example.splitlines() if line.strip() not in printed] == []


TRANSLATED = [path for path in DOCUMENTS if path.name.endswith(".zh-CN.md") and path != CHINESE]
"""The Chinese pages of docs/."""


def test_the_pages_that_a_newcomer_needs_are_chinese_too() -> None:
    names = {path.name.removesuffix(".zh-CN.md") for path in TRANSLATED}
    assert names >= {"deploy-vercel", "deploy-box", "clients", "errors", "refresh-token", "tools"}


@pytest.mark.parametrize("chinese", TRANSLATED, ids=lambda path: path.name)
def test_a_chinese_page_says_the_same_codes_and_shows_the_same_files(chinese: Path) -> None:
    english = chinese.with_name(chinese.name.replace(".zh-CN", ""))
    assert f"]({english.name})" in prose(chinese)
    assert f"]({chinese.name})" in prose(english)
    if english.name != "clients.md":  # Its Chinese page has clients of its own.
        kinds = {"ini", "toml", "json"}
        shown = [[code for _, kind, code in blocks(page) if kind in kinds] for page in (english, chinese)]
        assert shown[0] == shown[1]
        names = [
            set(re.findall(r"`([A-Z][A-Z_]{3,}|[a-z]+_[a-z_]+)`", prose(page))) for page in (english, chinese)
        ]
        assert names[0] == names[1]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_to_a_place_of_ours_leads_there(document: Path) -> None:
    for link in _LINK.findall(prose(document)):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = unquote(link).partition("#")
        target = (document.parent / place).resolve() if place else document
        assert target.exists(), f"{link} leads nowhere"
        assert target.is_relative_to(ROOT), f"{link} leads out of the repository"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


# Deploy buttons


def buttons() -> Iterator[tuple[Path, str]]:
    for document in DOCUMENTS:
        for link in _LINK.findall(prose(document)):
            if link.startswith("https://vercel.com/new/clone?"):
                yield document, link


def test_a_page_with_buttons_has_one_with_a_store_and_one_without() -> None:
    pages: dict[str, list[bool]] = {}
    for document, link in buttons():
        pages.setdefault(document.name, []).append("products" in parse_qs(urlsplit(link).query))
    names = ("README.md", "README.zh-CN.md", "deploy-vercel.md", "deploy-vercel.zh-CN.md")
    assert pages == {name: [True, False] for name in names}


@pytest.mark.parametrize(
    "link",
    [pytest.param(link, id=f"{document.name}-{place}") for place, (document, link) in enumerate(buttons())],
)
def test_a_button_asks_for_settings_that_exist_and_explains_them(link: str) -> None:
    asked = {name: values[0] for name, values in parse_qs(urlsplit(link).query, strict_parsing=True).items()}
    repository = asked["repository-url"]
    # A copy has its own name there (.github/workflows/owner.yml).
    assert re.fullmatch(r"https://github\.com/[\w-]+/[\w.-]+", repository)
    # Each must be filled in at the click, so there are no more than the gateway cannot do without. With a
    # store, the owner adds the account afterwards.
    needed = ["API_KEYS"] if "products" in asked else ["CHATGLM_REFRESH_TOKENS", "API_KEYS"]
    assert asked["env"].split(",") == needed
    place, _, anchor = asked["envLink"].removeprefix(f"{repository}/blob/main/").partition("#")
    assert anchor in anchors(ROOT / place)
    for product in json.loads(asked.get("products", "[]")):
        assert product == {
            "type": "integration",
            "integrationSlug": "upstash",
            "productSlug": "upstash-kv",
            "protocol": "storage",
        }


# The examples


def examples() -> Iterator[tuple[str, str, str]]:
    """Yield each document's examples of one language as one program; what two documents share, once."""
    seen: set[str] = set()
    for document in DOCUMENTS:
        for language in ("bash", "python"):
            codes = [code for is_run, of, code in blocks(document) if is_run and of == language]
            program = "\n".join(codes)
            if program and program not in seen:
                seen.add(program)
                yield document.relative_to(ROOT).as_posix(), language, program


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_an_example_that_is_not_run_can_be_read_at_least(document: Path) -> None:
    for is_run, language, code in blocks(document):
        if is_run:
            continue
        if language == "json":
            json.loads(code)
        elif language == "python":
            ast.parse(code)
        elif language in ("bash", "sh"):
            done = subprocess.run(["bash", "-n", "-c", code], capture_output=True, text=True, check=False)
            # A place that is to be filled in, <your copy>, is no redirection.
            assert done.returncode == 0 or "<your" in code, done.stderr


@pytest.mark.parametrize(("document", "language", "program"), list(examples()))
def test_the_examples_run(document: str, language: str, program: str, demo: str) -> None:
    if language == "bash" and not shutil.which("curl"):
        pytest.skip("there is no curl")
    # A refusal must be a failure, and python3 is whichever runs this.
    prelude = 'curl() { command curl --silent --show-error --fail "$@"; }\n'
    prelude += f'python3() {{ "{sys.executable}" "$@"; }}\n'
    shell = ["bash", "-euo", "pipefail", "-c", prelude + program]
    command = shell if language == "bash" else [sys.executable, "-c", program]
    done = subprocess.run(
        [
            part.replace(EXAMPLE_URL, demo).replace(VIDEO_PROMPT, f"[scene:video] {VIDEO_PROMPT}")
            for part in command
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=EXAMPLE_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{document}: {done.stderr}"
    assert done.stdout.strip()
    assert '"error"' not in done.stdout
    if "What did I say first?" in program:
        assert "My name is Ada." in done.stdout
    if "scene:weather" in program:
        assert "https://example.com/weather" in done.stdout
    if "data:image/gif" in program:
        assert "I see an image, file.gif, of " in done.stdout
    if "LICENSE" in program:
        size = (ROOT / "LICENSE").stat().st_size
        assert f"I see a document, LICENSE.txt, of {size:,} bytes." in done.stdout
    assert "【" not in done.stdout
    assert not re.search(r"\b[0-9a-f]{64}\b", done.stdout)
    if "images/generations" in program:
        assert '"url":"https://' in done.stdout
    if "videos" in program:
        assert "completed" in done.stdout


def test_what_server_timing_tells_is_in_both_readmes(demo: str) -> None:
    document = {"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain,words"}}
    body = {"model": "glm-5.3", "messages": [{"role": "user", "content": [document]}]}
    headers = {"authorization": f"Bearer {DEMO_KEY}"}
    answer = httpx.post(
        f"{demo}/v1/chat/completions", json=body, headers=headers, timeout=20, trust_env=False
    )
    told = {timing.partition(";")[0].strip() for timing in answer.headers["server-timing"].split(",")}
    for readme in (ENGLISH, CHINESE):
        (row,) = [cells for cells in rows(prose(readme)) if cells[0] == "`Server-Timing`"]
        assert set(_CODE.findall(row[2])) == told


def test_the_versions_of_clients_are_those_that_are_installed() -> None:
    pins = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("requirements/clients-*.txt"))
    for package in ROOT.glob("tests/clients/*/node/package.json"):
        pins += package.read_text(encoding="utf-8")
    table = prose(ROOT / "docs" / "clients.md").partition("## Versions")[2]
    told = {version for cells in rows(table) for version in cells[1].split(", ") if version[0].isdigit()}
    assert len(told) > 10
    assert {
        version for version in told if not re.search(rf"[=@\"]{re.escape(version)}[\s\"-]", pins)
    } == set()
