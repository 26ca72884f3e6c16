"""The modules of the simulator import each other in one direction, and none is long."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "simulator"
MAX_LINES = 250
"""A file that is longer holds more than one subject."""


def module_name(file: Path, package: Path) -> str:
    parts = file.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_names(tree: ast.AST, package: str) -> set[str]:
    """Collect what a module may import: a name of `from x import y` may be a module too.

    Imports below TYPE_CHECKING and in functions count: a circle of types is a circle for the reader.
    """
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            start = ".".join([*above, *([node.module] if node.module else [])])
            names.add(start)
            names.update(f"{start}.{alias.name}" for alias in node.names)
    return names


def import_graph(package: Path) -> dict[str, set[str]]:
    """Map every module of a package to the modules of it that it imports."""
    files = {module_name(file, package): file for file in sorted(package.rglob("*.py"))}
    graph = {}
    for name, file in files.items():
        own_package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        imported = imported_names(ast.parse(file.read_text(encoding="utf-8")), own_package)
        graph[name] = (imported & files.keys()) - {name}
    # `from . import module` names its own package too; that is no import of what the package offers.
    for name, imported in graph.items():
        graph[name] = {other for other in imported if not name.startswith(f"{other}.")}
    return graph


def find_circle(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_the_imports_of_the_simulator_have_no_circle() -> None:
    graph = import_graph(PACKAGE)
    assert len(graph) > 20
    assert find_circle(graph) == []


@pytest.mark.parametrize(
    "statement",
    ["from .one import x", "from . import one", "from made_up.one import x", "import made_up.one"],
)
@pytest.mark.parametrize("indent", ["", "if TYPE_CHECKING:\n    ", "def late() -> None:\n    "])
def test_a_circle_is_found_however_it_is_written(tmp_path: Path, statement: str, indent: str) -> None:
    package = tmp_path / "made_up"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "one.py").write_text("from .two import y\n")
    (package / "two.py").write_text(f"{indent}{statement}\n")
    assert set(find_circle(import_graph(package))) == {"made_up.one", "made_up.two"}


def test_no_file_of_the_simulator_is_long() -> None:
    lengths = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in PACKAGE.rglob("*.py")}
    assert {file.name: lines for file, lines in lengths.items() if lines > MAX_LINES} == {}
