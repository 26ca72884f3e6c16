"""The uploads of the simulator: what it measures, and what it holds against a client."""

from __future__ import annotations

import hashlib
from typing import Any

import httpx
import pytest

from simulator.app import Simulator
from simulator.forms import read_form
from tests.simulator.browser import MAIN, STREAM, Browser, make_body

NEW = "/productivity-api/file/chat_upload"
OLD = "/backend-api/assistant/file_upload"
PNG = b"\x89PNG\r\n\x1a\n\r\n--x\r\n\r\n"
FORM = {"from": "chat", "assistant_id": MAIN}


def send(
    browser: Browser, path: str, data: Any = PNG, name: str = "猫.png", mime: str = "image/png", **form: str
) -> httpx.Response:
    headers = browser.headers(path, browser.access_token)
    del headers["Content-Type"]
    return browser.http.post(path, headers=headers, data=form, files={"file": (name, data, mime)})


def refer(kind: str, **fields: Any) -> dict[str, Any]:
    file = {
        "file_id": "x",
        "file_name": "猫.png",
        "file_size": len(PNG),
        "order": 0,
        f"{kind}_url": "u",
        **fields,
    }
    body = make_body("[scene:files]")
    body["messages"][0]["content"].append({"type": kind, kind: [file]})
    return body


def test_both_endpoints_take_and_measure_a_file(sim: Simulator, browser: Browser) -> None:
    new = send(browser, NEW, **FORM).json()["result"]
    old = send(browser, OLD, b"words", "a.txt", "text/plain").json()["result"]
    one, two = sim.files.values()
    assert new == {"file_id": one.id, "file_url": one.url, "file_name": "猫.png", "file_size": len(PNG)}
    assert (old["source_id"], old["file_url"], old["file_size"]) == (two.id, two.url, 5)
    assert one.sha256 == hashlib.sha256(PNG).hexdigest()
    assert (one.uid, one.is_image, two.is_image) == (browser.uid, True, False)
    assert sim.violations == []


def test_a_list_of_one_is_answered_on_demand(sim: Simulator, browser: Browser) -> None:
    sim.uploads_answer_lists = True
    assert [file["file_size"] for file in send(browser, NEW, **FORM).json()["result"]] == [len(PNG)]


def test_the_scene_files_lists_what_was_given(sim: Simulator, browser: Browser) -> None:
    told = send(browser, NEW, **FORM).json()["result"]
    body = refer("image", file_id=told["file_id"], image_url=told["file_url"])
    assert hashlib.sha256(PNG).hexdigest() in browser.post(STREAM, body).text
    assert sim.violations == []
    assert "No files." in browser.chat("[scene:files]").text


@pytest.mark.parametrize(
    ("kind", "fields", "violation"),
    [
        ("image", {"file_id": "0" * 24}, "unknown file_id '000"),
        ("file", {}, "is referred to as ('file'"),
        ("image", {"file_name": "b.png"}, "'b.png'"),
        ("image", {"file_size": 1}, "is referred to as"),
        ("image", {"image_url": "https://elsewhere"}, "is referred to as"),
    ],
)
def test_a_reference_that_is_wrong_is_noted(
    sim: Simulator, browser: Browser, kind: str, fields: dict[str, Any], violation: str
) -> None:
    told = send(browser, NEW, **FORM).json()["result"]
    known = {"file_id": told["file_id"], f"{kind}_url": told["file_url"]}
    browser.post(STREAM, refer(kind, **(known | fields)))
    assert violation in sim.violations[0]


def test_another_accounts_file_is_unknown(sim: Simulator, browser: Browser, http: httpx.Client) -> None:
    other = Browser(sim, http, sim.add_account())
    other.refresh()
    told = send(other, NEW, **FORM).json()["result"]
    browser.post(STREAM, refer("image", file_id=told["file_id"], image_url=told["file_url"]))
    assert "unknown file_id" in sim.violations[0]


@pytest.mark.parametrize(
    ("fields", "violation"),
    [
        ({"data": b""}, "the file is empty"),
        ({"name": "cat"}, "has another name than 'cat'"),
        ({"name": "a/cat.png"}, "has another name than 'a/cat.png'"),
        ({"mime": "png"}, "Content-Type is 'png'"),
        ({"from": "elsewhere"}, "from is 'elsewhere'"),
        ({"assistant_id": "x"}, "unknown assistant_id 'x'"),
    ],
)
def test_an_upload_that_no_browser_makes_is_noted(
    sim: Simulator, browser: Browser, fields: dict[str, Any], violation: str
) -> None:
    assert send(browser, NEW, **(FORM | fields)).status_code == 200
    assert violation in sim.violations[0]


def test_an_upload_without_a_file_is_refused(sim: Simulator, browser: Browser) -> None:
    assert browser.post(NEW, {"from": "chat", "assistant_id": MAIN}).status_code == 400
    assert "no form with a file" in sim.violations[0]


def form(*pieces: bytes) -> bytes:
    return b"".join(b"--b\r\n" + piece + b"\r\n" for piece in pieces) + b"--b--\r\n"


FIELD = b'Content-Disposition: form-data; name="a"\r\n\r\n1'


def test_a_form_is_read_strictly() -> None:
    kind = "multipart/form-data; boundary=b"
    assert read_form(kind, form(FIELD)) == {"a": "1"}
    for raw in (
        form(FIELD)[:-2],
        form(FIELD)[1:],
        form(FIELD, FIELD),
        form(b"Content-Disposition: form-data\r\n\r\n1"),
        form(b'Content-Disposition: form-data; name="a"\r\n1'),
        form(FIELD).replace(b"\r\n", b"\n"),
        b"",
    ):
        assert read_form(kind, raw) is None
    assert read_form("multipart/form-data", form(FIELD)) is None
    assert read_form("application/json", form(FIELD)) is None
