"""Names that come from outside."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.files.names import MAX_NAME_BYTES, name_of, safe_name


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        (None, "file"),
        ("", "file"),
        (".", "file"),
        ("..", "file"),
        ("/", "file"),
        ("a/", "a"),
        ("report.pdf", "report.pdf"),
        ("报告 （终）.pdf", "报告 （终）.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\x.doc", "x.doc"),
        (".htaccess", "htaccess"),
        ("a\r\nb\0c\u202e.txt", "a b c.txt"),
        ('a"b<c>|d*e?.txt', "a_b_c_d_e_.txt"),
        ("  many   spaces .pdf. ", "many spaces.pdf"),
        ("e\u0301.txt", "é.txt"),
        ("\ud800.txt", "txt"),
        ("x" * 500 + ".pdf", "x" * (MAX_NAME_BYTES - 4) + ".pdf"),
        ("界" * 500 + ".pdf", "界" * 38 + ".pdf"),
        ("x" * 119 + " y", "x" * 119),
        ("a." + "b" * 500, "a." + "b" * (MAX_NAME_BYTES - 2)),
    ],
)
def test_a_name_is_made_safe(name: str | None, safe: str) -> None:
    assert safe_name(name) == safe


@given(st.text())
def test_any_name_is_made_safe_and_stays_so(name: str) -> None:
    safe = safe_name(name)
    assert safe == safe_name(safe)
    assert 0 < len(safe.encode()) <= MAX_NAME_BYTES
    assert safe.isprintable()
    assert not set(safe) & set('/\\"<>|?*:;%&')
    assert safe not in (".", "..")


@pytest.mark.parametrize(
    ("path", "disposition", "name"),
    [
        ("/a/b.pdf", "", "b.pdf"),
        ("/a/b%20c.pdf", "inline", "b c.pdf"),
        ("/", "", "file"),
        ("/a/", "", "a"),
        ("/x", 'attachment; filename="y.pdf"', "y.pdf"),
        ("/x", "attachment; filename=y.pdf", "y.pdf"),
        ("/x", "attachment; filename*=UTF-8''%E6%8A%A5%E5%91%8A.pdf", "报告.pdf"),
        ("/x", "attachment; filename=\"y.pdf\"; filename*=UTF-8''z.pdf", "z.pdf"),
        ("/x", "attachment; filename*=utf-8'en'%C3%A9.pdf; filename=y.pdf", "é.pdf"),
        ("/x", "attachment; filename*=ISO-8859-1''%E9.pdf", "é.pdf"),
        ("/x", "attachment; filename*=nonsense''z.pdf", "z.pdf"),
        ("/x", "attachment; filename*=z.pdf", "z.pdf"),
        ("/x", 'attachment; filename="../../y"', "y"),
        ("/x", "attachment; filename=", "x"),
        ("/x", ';;;="', "x"),
        ("/x", "attachment; filename*0*=idna''x", "x"),
        ("/y", "attachment; filename*" + "9" * 5000 + "=x", "y"),
        ("/y", 'attachment; filename*0="x"; filename*=', "y"),
    ],
)
def test_a_download_is_named_by_its_server_then_by_its_address(
    path: str, disposition: str, name: str
) -> None:
    assert name_of(path, disposition) == name


@given(st.text(), st.text())
def test_nothing_is_raised(path: str, disposition: str) -> None:
    assert name_of(path, disposition)
    assert name_of(path, f"attachment; filename*={disposition}")
