"""What a file is, whatever anybody says it is."""

from __future__ import annotations

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.files.kinds import SAMPLE_BYTES, UNKNOWN, Kind, name_as, recognize

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
BMP = b"BM" + bytes(12) + (40).to_bytes(4, "little") + bytes(30)


def zipped(*names: str, stored: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, stored)
    return buffer.getvalue()


def ftyp(brand: bytes) -> bytes:
    return b"\0\0\0\x20ftyp" + brand + bytes(20)


def ole(stream: str) -> bytes:
    return OLE + bytes(1000) + stream.encode("utf-16-le") + bytes(100)


def kind_of(data: bytes, declared: str = "", name: str = "") -> Kind:
    return recognize(data[:SAMPLE_BYTES], tail=data[-SAMPLE_BYTES:], declared=declared, name=name)


BY_BYTES = [
    (b"\xff\xd8\xff\xe0 JFIF", ".jpg", True),
    (b"\x89PNG\r\n\x1a\n", ".png", True),
    (b"GIF87a", ".gif", True),
    (b"GIF89a", ".gif", True),
    (b"RIFF\0\0\0\0WEBPVP8 ", ".webp", True),
    (BMP, ".bmp", True),
    (b"II*\0", ".tiff", True),
    (b"MM\0*", ".tiff", True),
    (ftyp(b"avif"), ".avif", True),
    (ftyp(b"heic"), ".heic", True),
    (ftyp(b"mif1"), ".heic", True),
    (b"\0\0\1\0", ".ico", False),
    (b"<svg xmlns='x'/>", ".svg", False),
    (b'<?xml version="1.0"?>\n<svg/>', ".svg", False),
    (b"%PDF-1.7", ".pdf", False),
    (b"junk before %PDF-1.4", ".pdf", False),
    (b"{\\rtf1", ".rtf", False),
    (zipped("[Content_Types].xml", "word/document.xml"), ".docx", False),
    (zipped("[Content_Types].xml", "xl/workbook.xml"), ".xlsx", False),
    (zipped("[Content_Types].xml", "ppt/presentation.xml"), ".pptx", False),
    (zipped("media.bin", "[Content_Types].xml", "word/x", stored=bytes(2 * SAMPLE_BYTES)), ".docx", False),
    (zipped("mimetype", stored=b"application/vnd.oasis.opendocument.text"), ".odt", False),
    (zipped("mimetype", stored=b"application/epub+zip"), ".epub", False),
    (zipped("word/x", "a"), ".zip", False),
    (zipped("[Content_Types].xml", "other"), ".zip", False),
    (ole("WordDocument"), ".doc", False),
    (ole("Workbook"), ".xls", False),
    (ole("Book"), ".xls", False),
    (ole("PowerPoint Document"), ".ppt", False),
    (OLE + bytes(100), ".bin", False),
    (b"\x1f\x8b\x08\0", ".gz", False),
    (b"7z\xbc\xaf\x27\x1c", ".7z", False),
    (b"Rar!\x1a\x07\x01\0", ".rar", False),
    (b"ID3\x04", ".mp3", False),
    (b"\xff\xfb\x90\0", ".mp3", False),
    (b"RIFF\0\0\0\0WAVEfmt ", ".wav", False),
    (b"RIFF\0\0\0\0AVI \0", ".bin", False),
    (b"fLaC", ".flac", False),
    (b"OggS", ".ogg", False),
    (ftyp(b"isom"), ".mp4", False),
    (ftyp(b"M4A "), ".m4a", False),
    (ftyp(b"qt  "), ".mov", False),
    (b"\x1a\x45\xdf\xa3", ".webm", False),
    (b"<!DOCTYPE html><p>", ".html", False),
    (b"\xef\xbb\xbf\n<HTML>", ".html", False),
    (b"plain words", ".txt", False),
    ("一二三".encode() * SAMPLE_BYTES, ".txt", False),
    ("一二三".encode("utf-16"), ".txt", False),
    (b"\x00\x01\x02", ".bin", False),
    ("一二三".encode("gbk"), ".bin", False),
    (b"BMW is a car", ".txt", False),
]


@pytest.mark.parametrize(("data", "extension", "is_image"), BY_BYTES)
def test_bytes_come_first(data: bytes, extension: str, is_image: bool) -> None:
    kind = kind_of(data)
    assert (kind.extension, kind.is_image) == (extension, is_image)


@pytest.mark.parametrize(
    ("data", "extension", "is_image"), [case for case in BY_BYTES if case[1] not in (".bin", ".txt")]
)
def test_no_claim_changes_what_the_bytes_say(data: bytes, extension: str, is_image: bool) -> None:
    assert kind_of(data, "text/plain", "x.csv") == kind_of(data, "image/png", "x.jpg") == kind_of(data)


@pytest.mark.parametrize(
    ("data", "declared", "name", "extension"),
    [
        (b"a,b\n", "text/csv; charset=utf-8", "", ".csv"),
        (b"a,b\n", "text/plain", "x.csv", ".csv"),
        (b"a,b\n", "application/octet-stream", "x.CSV", ".csv"),
        (b"# x\n", "text/markdown", "x.txt", ".md"),
        (b"{}", "application/json", "", ".json"),
        (b"{}", "text/json", "", ".json"),
        (b"a: 1", "", "x.yml", ".yaml"),
        (b"words", "image/png", "x.png", ".txt"),
        (b"words", "application/pdf", "x.pdf", ".txt"),
        ("一".encode("gbk"), "text/plain; charset=gbk", "", ".txt"),
        ("一".encode("gbk"), "", "x.csv", ".csv"),
        ("一".encode("gbk"), "application/octet-stream", "x.txt", ".txt"),
        (b"\x00\x01", "image/jpg", "x.pdf", ".pdf"),
        (b"\x00\x01", "image/png", "x.png", ".bin"),
        (b"\x00\x01", "unheard/of", "x.unheard", ".bin"),
        (OLE + bytes(100), "", "x.xls", ".xls"),
        (OLE + bytes(100), "application/msword", "x.xls", ".doc"),
        (OLE + bytes(100), "text/plain", "x.txt", ".bin"),
    ],
)
def test_what_the_bytes_leave_open_is_told_by_the_type_then_by_the_name(
    data: bytes, declared: str, name: str, extension: str
) -> None:
    assert kind_of(data, declared, name).extension == extension


@pytest.mark.parametrize(
    ("name", "data", "named"),
    [
        ("file", b"GIF89a", "file.gif"),
        ("cat.jpeg", b"\xff\xd8\xff", "cat.jpeg"),
        ("cat.JPG", b"\xff\xd8\xff", "cat.JPG"),
        ("cat.jpg", b"GIF89a", "cat.gif"),
        ("image.php", b"GIF89a", "image.gif"),
        ("report.v1", b"%PDF-1.7", "report.v1.pdf"),
        ("main.py", b"words", "main.py"),
        ("main.pdf", b"words", "main.txt"),
        ("page.aspx", b"<html>", "page.html"),
        ("x.unheard", b"\0\1", "x.unheard"),
        ("x.png", b"\0\1", "x.bin"),
        ("server.log", b"words", "server.log"),
        (".png", b"words", ".png.txt"),
    ],
)
def test_a_name_gets_the_extension_of_its_kind(name: str, data: bytes, named: str) -> None:
    assert name_as(name, kind_of(data, name=name)) == named


@given(st.binary(max_size=300), st.text(), st.text())
def test_anything_is_something(data: bytes, declared: str, name: str) -> None:
    kind = kind_of(data, declared, name)
    assert name_as("x", kind).startswith("x.")
    assert kind == UNKNOWN or kind.mime
