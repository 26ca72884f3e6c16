"""The rooms of the repository and the directions between them: the table of CONTRIBUTING.md, held.

Each rule is a function from a file's path and text to its faults (`path:line: what is wrong`). It is tested
twice: it finds nothing in the repository, and it finds a bad example of its own.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pytest

from hosts.aws.build import PACKAGES

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "hosts/aws/build.py"
"""A script for a terminal, as those in scripts/ are."""
MAX_ENTRIES = 24
"""A stranger sees the root first. Each entry there is one that somebody looks for at that place."""
MAX_FUNCTIONS = 12
"""Vercel's Hobby plan takes no more."""
MAX_HANDLER_LINES = 45

Rule = Callable[[str, str], Iterator[str]]


class Room(NamedTuple):
    ours: frozenset[str]
    theirs: frozenset[str]
    lazily: frozenset[str] = frozenset()
    """Third-party packages that may be imported inside a function only: one backend's, the demo's."""


def _room(ours: str = "", theirs: str = "", lazily: str = "") -> Room:
    return Room(frozenset(ours.split()), frozenset(theirs.split()), frozenset(lazily.split()))


ROOMS = {
    "errors": _room(theirs="msgspec"),
    "patience": _room(),
    "connections": _room("tasks", "httpx"),
    "receiving": _room("errors files patience", "httpx msgspec"),
    "sse": _room("errors", "msgspec"),
    "jwt": _room(),
    "version": _room(),
    "settings": _room("errors jwt store", "msgspec"),
    "chat": _room("errors", "msgspec"),
    "tasks": _room(),
    "tools": _room("chat errors", "msgspec"),
    "trace": _room("chat errors", "msgspec"),
    "dialects": _room("chat errors sse tools", "msgspec"),
    "files": _room("connections errors tasks", "httpx msgspec", "PIL"),
    "store": _room("connections errors patience tasks", "httpx msgspec", "redis cryptography"),
    "upstreams": _room("chat chatglm errors files official settings tasks trace", "msgspec"),
    "chatglm": _room(
        "chat connections errors files jwt patience receiving settings sse store tasks trace upstreams",
        "httpx msgspec",
    ),
    "official": _room(
        "chat connections errors files receiving settings sse store tasks trace upstreams", "httpx msgspec"
    ),
    "flows": _room("chat errors settings tasks tools trace upstreams version", "msgspec"),
    "web": _room(
        "chat dialects errors flows jwt settings sse tasks trace upstreams version",
        "starlette msgspec",
        "multipart",
    ),
    "api": _room("dialects errors flows settings upstreams web", "starlette"),
    "hosts/routes": _room(theirs="msgspec"),
    "hosts/aws": _room("api hosts/routes", "mangum starlette uvicorn"),
    "hosts/box": _room("errors settings simulator store upstreams version web", "starlette uvicorn msgspec"),
    "simulator": _room(theirs="starlette msgspec uvicorn"),
}
PURE = ("errors", "sse", "chat", "tools", "dialects")
"""Protocol code: it never awaits, never logs, reads neither clock nor chance."""
PURE_FILES = ("lib/upstreams/chatglm/decoder/", "lib/files/kinds.py", "lib/files/frames.py")
"""The same holds for these paths in rooms that do I/O elsewhere."""
IMPURE_MODULES = {
    "asyncio", "http", "io", "logging", "os", "pathlib", "random", "secrets", "select", "socket", "ssl",
    "subprocess", "threading", "time", "urllib.request", "uuid",
}  # fmt: skip


# Reading a file


class Import(NamedTuple):
    line: int
    module: str
    is_lazy: bool


def imports_of(path: str, source: str) -> Iterator[Import]:
    """Find every import, wherever it stands: in functions, under TYPE_CHECKING, by `import_module("…")`."""
    tree = ast.parse(source, path)
    lazy = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    package = path.removesuffix(".py").split("/")[:-1]
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                modules = [alias.name for alias in names]
            case ast.ImportFrom(module=module, names=names, level=level):
                above = package[: len(package) - level + 1] if level else []
                start = ".".join([*above, *([module] if module else [])])
                # `from lib.flows import chat` imports lib.flows.chat.
                below = [f"{start}.{alias.name}" for alias in names]
                modules = below if all(map(_is_module, below)) or "." not in start else [start]
            case ast.Call(args=[ast.Constant(value=str(module)), *_]) if _called(node) in {
                "import_module",
                "__import__",
            }:
                modules = [module]
            case _:
                continue
        for name in modules:
            yield Import(node.lineno, name, id(node) in lazy)


def _is_module(name: str) -> bool:
    place = ROOT / name.replace(".", "/")
    return place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()


def _called(call: ast.Call) -> str:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def room_of(module: str) -> str:
    """Name the room of a module of ours (`lib.chat.request` is in `chat`); "" for everybody else's."""
    first, *rest = module.split(".")
    if first == "lib":
        if rest[:1] == ["upstreams"] and rest[1:2] and rest[1] in ROOMS:
            return rest[1]  # an upstream is a room of its own: the door beside it is another one
        return rest[0] if rest else "lib"
    if first == "hosts":
        return f"hosts/{rest[0]}" if rest else "hosts"
    return first if first in ROOMS or first == "tests" else ""


def room_of_file(path: str) -> str:
    return room_of(path.removesuffix(".py").replace("/", "."))


# The rules


def imports_follow_the_table(path: str, source: str) -> Iterator[str]:
    room = room_of_file(path)
    if path in {"lib/__init__.py", "hosts/__init__.py"}:
        if list(imports_of(path, source)):
            yield f"{path}:1: it is there for what is below it, and imports nothing"
        return
    if room not in ROOMS:
        yield f"{path}:1: room {room!r} is not in the table of tests/test_layout.py"
        return
    may = ROOMS[room]
    for line, module, is_lazy in imports_of(path, source):
        package = module.split(".")[0]
        other = room_of(module)
        if other:
            if other not in {room, *may.ours}:
                yield f"{path}:{line}: {room} may not import {other} ({module})"
        elif package in may.lazily:
            if not is_lazy:
                yield f"{path}:{line}: {package} may be imported by {room} inside a function only"
        elif package not in sys.stdlib_module_names and package not in may.theirs:
            yield f"{path}:{line}: {room} may not import {package}"


def protocol_code_does_no_io(path: str, source: str) -> Iterator[str]:
    room = room_of_file(path)
    if room not in PURE and not path.startswith(PURE_FILES):
        return
    for line, module, _ in imports_of(path, source):
        if module == "os.path":
            continue  # commonprefix compares texts
        if module in IMPURE_MODULES or module.split(".")[0] in IMPURE_MODULES:
            yield f"{path}:{line}: {room} is protocol code: it may not import {module}"
    for node in ast.walk(ast.parse(source, path)):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            yield f"{path}:{node.lineno}: {room} is protocol code: it never awaits"


def only_settings_reads_the_environment(path: str, source: str) -> Iterator[str]:
    if path == "lib/settings.py" or room_of_file(path) == "hosts/box":
        return
    names = {"environ", "environb", "getenv", "getenvb", "putenv"}
    for node in ast.walk(ast.parse(source, path)):
        match node:
            case ast.Attribute(value=ast.Name(id="os"), attr=name) if name in names:
                yield f"{path}:{node.lineno}: os.{name}; only lib/settings.py reads the environment"
            case ast.ImportFrom(module="os", names=aliases) if names & {alias.name for alias in aliases}:
                yield f"{path}:{node.lineno}: only lib/settings.py reads the environment"


def _bound_names(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Name(id=name, ctx=ast.Store()):
            yield name
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            yield from (alias.asname or alias.name.split(".")[0] for alias in aliases)


def no_endpoint_says_handler(path: str, source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source, path)):
        if "handler" in _bound_names(node):
            line = getattr(node, "lineno", 1)
            yield f"{path}:{line}: `handler` is what Vercel's older runtimes expect a class of theirs under"


def an_endpoint_defines_app(path: str, source: str) -> Iterator[str]:
    # At the top and written out: the host reads the text, and does not run it.
    for statement in ast.parse(source, path).body:
        if "app" in chain.from_iterable(map(_bound_names, ast.walk(statement))) and not isinstance(
            statement, ast.If | ast.Try | ast.With | ast.For | ast.While
        ):
            return
    yield f"{path}:1: no `app` at the top level"


def an_endpoint_is_a_page(path: str, source: str) -> Iterator[str]:
    lines = len(source.splitlines())
    if lines > MAX_HANDLER_LINES:
        yield f"{path}:{lines}: {lines} lines; at most {MAX_HANDLER_LINES}: the rest belongs in lib/"


def api_holds_endpoints_only(path: str, source: str) -> Iterator[str]:
    if any(part.startswith("_") for part in path.split("/")):
        yield f"{path}:1: api/ holds endpoints only: no packages, and helpers belong in lib/"


# Written so that they do not match themselves.
REGISTRIES = re.compile(
    r"pypi\.(?:org|io|tuna)|pythonhosted\.org|npmjs\.(?:org|com)|yarnpkg\.com|npmmirror\.com|deb\.debian\.org"
    r"|proxy\.golang\.org|\bindex[-_]url\s*[=:]\s*\S|registry\s*=\s*http",
    re.IGNORECASE,
)
MACHINE_PATHS = re.compile(r"(?<![\w.)\]}>/-])/(?:wor[k]|roo[t]|opt/pypi|home/[a-z]|User[s]/[a-z])[\w/.-]*")


def no_registry_and_no_path_of_a_machine(path: str, source: str) -> Iterator[str]:
    for number, line in enumerate(source.splitlines(), 1):
        if found := REGISTRIES.search(line):
            yield f"{path}:{number}: names a package registry ({found[0]})"
        if found := MACHINE_PATHS.search(line):
            yield f"{path}:{number}: names a path of one machine ({found[0]})"


def no_pyproject(path: str, source: str) -> Iterator[str]:
    if Path(path).name == "pyproject.toml":
        yield f"{path}:1: with a pyproject.toml Vercel ignores requirements.txt; use ruff.toml and setup.cfg"


# The repository


def _python_files(*places: str) -> list[Path]:
    files = (ROOT / place for place in places)
    found = chain.from_iterable(file.rglob("*.py") if file.is_dir() else [file] for file in files)
    return sorted(file for file in found if file.is_file())


def _endpoints() -> list[Path]:
    return _python_files("api")


def _our_program() -> list[Path]:
    return [file for file in _python_files("lib", "api", "hosts", "simulator") if file != BUILD]


def _kept_files() -> list[Path]:
    """List what git keeps, or would: the folder without what .gitignore names."""
    git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git repository: cannot tell our files from others")
    return [file for name in listed.stdout.split("\0") if name and (file := ROOT / name).is_file()]


def faults(rule: Rule, files: list[Path]) -> list[str]:
    found: list[str] = []
    for file in files:
        try:
            source = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:  # a picture
            continue
        found.extend(rule(file.relative_to(ROOT).as_posix(), source))
    return found


@pytest.mark.parametrize(
    ("rule", "files"),
    [
        (imports_follow_the_table, _our_program),
        (protocol_code_does_no_io, _our_program),
        (only_settings_reads_the_environment, _our_program),
        (no_endpoint_says_handler, _endpoints),
        (an_endpoint_defines_app, _endpoints),
        (an_endpoint_is_a_page, _endpoints),
        (api_holds_endpoints_only, _endpoints),
        (no_registry_and_no_path_of_a_machine, _kept_files),
        (no_pyproject, _kept_files),
    ],
)
def test_the_repository_keeps_the_rule(rule: Rule, files: Callable[[], list[Path]]) -> None:
    found = faults(rule, files())
    assert not found, "\n".join(["", *found])


def test_there_are_no_more_endpoints_than_the_smallest_host_takes() -> None:
    endpoints = _endpoints()
    assert len(endpoints) <= MAX_FUNCTIONS, f"{len(endpoints)} files in api/; Vercel's Hobby plan takes 12"


def entries_of_the_root(files: list[Path]) -> set[str]:
    """Name what `ls` shows of a clone."""
    names = {file.relative_to(ROOT).parts[0] for file in files}
    return {name for name in names if not name.startswith(".")}


def test_the_root_is_short() -> None:
    entries = entries_of_the_root(_kept_files())
    assert len(entries) <= MAX_ENTRIES, sorted(entries)


def test_files_below_a_folder_are_one_entry_and_hidden_ones_none() -> None:
    files = [ROOT / name for name in ("a.py", "lib/a.py", "lib/b/c.py", ".ci/run", ".gitignore")]
    assert entries_of_the_root(files) == {"a.py", "lib"}


def test_redaction_is_deployed_nowhere() -> None:
    """A host packs whole folders: redaction must be outside of them, and no module in them may import it."""
    folders = ("lib", "api", "hosts", "simulator")
    code = [file for file in _python_files(*folders) if "def redact" in file.read_text(encoding="utf-8")]
    assert code == []
    importing = [
        f"{file.relative_to(ROOT)}: {found.module}"
        for file in _python_files(*folders)
        for found in imports_of(file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8"))
        if found.module.split(".")[0] == "scripts"
    ]
    assert importing == []
    on_lambda = [source for package in PACKAGES.values() for source in package.sources]
    in_the_image = re.findall(r"^COPY (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    packed = [source for source in (*on_lambda, *in_the_image) if source.startswith("scripts")]
    assert packed == ["scripts/support/install-image"]
    assert '"excludeFiles": "{!(api|lib)/**,*}"' in (ROOT / "vercel.json").read_text()


UPSTREAMS = {"chatglm", "official"}


def test_dialects_and_upstreams_never_see_each_other() -> None:
    assert not UPSTREAMS & ROOMS["dialects"].ours
    for upstream in UPSTREAMS:
        assert not {"dialects", *UPSTREAMS - {upstream}} & ROOMS[upstream].ours


# Each rule can fail

FAULTY = [
    (
        imports_follow_the_table,
        "lib/dialects/openai_chat.py",
        "import json\nimport lib.upstreams.chatglm.turn",
        2,
    ),
    (
        imports_follow_the_table,
        "lib/upstreams/chatglm/wire/client.py",
        "from lib.dialects import openai_chat",
        1,
    ),
    (imports_follow_the_table, "lib/upstreams/chatglm/turn.py", "from lib import dialects", 1),
    (
        imports_follow_the_table,
        "lib/upstreams/chatglm/turn.py",
        "from ...dialects import openai_chat",
        1,
    ),
    (imports_follow_the_table, "lib/upstreams/chatglm/turn.py", "from ... import dialects", 1),
    (imports_follow_the_table, "lib/dialects/gemini.py", "def f() -> None:\n    import httpx", 2),
    (imports_follow_the_table, "lib/dialects/gemini.py", "if TYPE_CHECKING:\n    import starlette", 2),
    (imports_follow_the_table, "lib/upstreams/chatglm/reply.py", "from starlette.requests import Request", 1),
    (imports_follow_the_table, "lib/settings.py", "import httpx", 1),
    (imports_follow_the_table, "lib/web/app.py", 'importlib.import_module("lib.store.memory")', 1),
    (imports_follow_the_table, "lib/store/redis.py", "import redis", 1),
    # Redaction is not deployed: what is deployed may not need it.
    (
        imports_follow_the_table,
        "lib/upstreams/chatglm/captures.py",
        "def f() -> None:\n    from scripts.support.redaction.answer import redact",
        2,
    ),
    (imports_follow_the_table, "hosts/box/demo.py", "import scripts.support.redaction.files", 1),
    (imports_follow_the_table, "lib/utils.py", "", 1),
    (imports_follow_the_table, "lib/__init__.py", "import lib.errors", 1),
    (imports_follow_the_table, "hosts/__init__.py", "import hosts.aws.handlers", 1),
    (imports_follow_the_table, "hosts/aws/handlers.py", "from hosts.box import server", 1),
    (imports_follow_the_table, "hosts/more.py", "", 1),
    (imports_follow_the_table, "api/v1/models.py", "from lib.chat.events import Finished", 1),
    (imports_follow_the_table, "hosts/__init__.py", "import hosts.aws.handlers", 1),
    (imports_follow_the_table, "hosts/more.py", "", 1),
    (imports_follow_the_table, "api/v1/models.py", "from lib.store import open_store", 1),
    (imports_follow_the_table, "lib/upstreams/chatglm/reply.py", "from tests.fakes import Clock", 1),
    (imports_follow_the_table, "simulator/server.py", "from lib.errors import GatewayError", 1),
    (protocol_code_does_no_io, "lib/dialects/gemini.py", "import time", 1),
    (protocol_code_does_no_io, "lib/sse.py", "from urllib.request import urlopen", 1),
    (protocol_code_does_no_io, "lib/chat/events.py", "from asyncio import sleep", 1),
    (protocol_code_does_no_io, "lib/dialects/gemini.py", "\nasync def f() -> None: ...", 2),
    (only_settings_reads_the_environment, "lib/web/app.py", "import os\nx = os.environ['A']", 2),
    (only_settings_reads_the_environment, "api/index.py", "import os\nx = os.getenv('A')", 2),
    (only_settings_reads_the_environment, "lib/web/app.py", "from os import environ", 1),
    (no_endpoint_says_handler, "api/index.py", "x = 1\nhandler = x", 2),
    (no_endpoint_says_handler, "api/index.py", "def handler() -> None: ...", 1),
    (no_endpoint_says_handler, "api/index.py", "from lib.web import app as handler", 1),
    (an_endpoint_defines_app, "api/index.py", "x = 1", 1),
    (an_endpoint_defines_app, "api/index.py", "if True:\n    app = 1", 1),
    (an_endpoint_is_a_page, "api/index.py", "x = 1\n" * 46, 46),
    (api_holds_endpoints_only, "api/__init__.py", "", 1),
    (api_holds_endpoints_only, "api/_helpers/x.py", "", 1),
    (no_registry_and_no_path_of_a_machine, "README.md", "\nfrom https://pypi" + ".org/simple", 2),
    (no_registry_and_no_path_of_a_machine, "pip.conf", "index-url " + "= x", 1),
    (no_registry_and_no_path_of_a_machine, "package-lock.json", '"https://registry.npmjs' + '.org/x"', 1),
    (no_registry_and_no_path_of_a_machine, "docs/x.md", "see `/wor" + "k/main/x`", 1),
    (no_registry_and_no_path_of_a_machine, "docs/x.md", "in /roo" + "t/.pyenv", 1),
    (no_pyproject, "sub/pyproject.toml", "", 1),
]


@pytest.mark.parametrize(("rule", "path", "source", "line"), FAULTY)
def test_a_rule_finds_its_fault_and_names_the_line(rule: Rule, path: str, source: str, line: int) -> None:
    assert [found.split(": ")[0] for found in rule(path, source)] == [f"{path}:{line}"]


FAULTLESS = [
    (
        imports_follow_the_table,
        "lib/dialects/gemini.py",
        "import json\nimport msgspec\nfrom lib.chat import events",
    ),
    (
        imports_follow_the_table,
        "lib/dialects/gemini.py",
        "from lib.dialects.shared import x\nfrom . import shared",
    ),
    (imports_follow_the_table, "lib/store/redis.py", "async def f() -> None:\n    import redis.asyncio"),
    (
        imports_follow_the_table,
        "hosts/box/demo.py",
        "def f() -> None:\n    from simulator.server import SimulatorServer",
    ),
    (only_settings_reads_the_environment, "lib/settings.py", "import os\nx = os.environ"),
    (only_settings_reads_the_environment, "lib/web/app.py", "x = scope.environ"),
    (
        no_endpoint_says_handler,
        "api/index.py",
        "from hosts.aws import handlers\napp = create_app(x, exception_handler=y)",
    ),
    (an_endpoint_defines_app, "api/index.py", "app: Starlette = create_app()"),
    (an_endpoint_defines_app, "api/index.py", "from lib.web.page import app"),
    (an_endpoint_is_a_page, "api/index.py", "x = 1\n" * 45),
    (
        no_registry_and_no_path_of_a_machine,
        "README.md",
        "/v1/works, the network/work and https://x.org/work/root",
    ),
]


@pytest.mark.parametrize(("rule", "path", "source"), FAULTLESS)
def test_a_rule_leaves_the_rest_alone(rule: Rule, path: str, source: str) -> None:
    assert list(rule(path, source)) == []
