"""What values and errors show of themselves, wherever they are printed: no token, no key, nobody's words."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import lib

MARK = "zq-secret-qz"
SECRET = re.compile(r"(\w+_)?(tokens?|secret|passwords?|credentials?|api_keys?)|key")


def values() -> Iterator[tuple[type, list[str]]]:
    """Find every type of ours that has fields of text whose names say that they are secret."""
    for module in pkgutil.walk_packages(lib.__path__, "lib."):
        for _, cls in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if cls.__module__ == module.name and (fields := _fields(cls)):
                hints = inspect.get_annotations(cls)
                secret = [name for name in fields if SECRET.fullmatch(name) and "str" in str(hints.get(name))]
                if secret:
                    yield cls, secret


def _fields(cls: Any) -> tuple[str, ...]:
    if issubclass(cls, msgspec.Struct):
        return tuple(cls.__struct_fields__)
    if dataclasses.is_dataclass(cls):
        return tuple(field.name for field in dataclasses.fields(cls))
    return tuple(getattr(cls, "_fields", ())) if issubclass(cls, tuple) else ()


@pytest.mark.parametrize(("cls", "secret"), list(values()), ids=lambda value: getattr(value, "__name__", ""))
def test_a_value_does_not_show_its_secrets(cls: Any, secret: list[str]) -> None:
    value = cls(**dict.fromkeys(_fields(cls), MARK))
    assert MARK in [getattr(value, name) for name in secret]
    shown = re.findall(rf"(\w+)=.?{MARK}", f"{value!r} {value!s} {[value]} {(value, 1)}")
    assert not set(shown) & set(secret)


def test_there_are_such_values() -> None:
    names = {cls.__name__ for cls, _ in values()}
    assert names >= {"Settings", "Caller", "Account", "Session", "Tokens", "Grant"}


def errors_in(call: ast.Call) -> Iterator[ast.Name]:
    """Find the errors that a call is given other than as `error.summary` or `type(error)`."""
    harmless: set[int] = set()
    for node in ast.walk(call):
        match node:
            case ast.Attribute(value=ast.Name() as error, attr="summary"):
                harmless.add(id(error))
            case ast.Call(func=ast.Name(id="type"), args=[ast.Name() as error]):
                harmless.add(id(error))
    for node in ast.walk(call):
        if isinstance(node, ast.Name) and node.id == "error" and id(node) not in harmless:
            yield node


def test_no_line_of_the_log_takes_an_errors_own_words() -> None:
    """They may be the upstream's, or quote a caller; `summary` is what may be logged."""
    found = []
    for path in sorted(Path(lib.__path__[0]).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="log"))):
                    found += [f"{path.name}:{error.lineno}" for error in errors_in(node)]
    assert found == []
