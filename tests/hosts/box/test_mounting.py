"""Many files as one app: the file that answers a request."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from hosts.box.mounting import API_FOLDER, MountedFiles, function_files, mount
from hosts.routes import ENDPOINTS
from tests.hosts.box.served import (
    write_file,
)


@pytest.fixture
def client(api_folder: Path) -> Iterator[TestClient]:
    with TestClient(mount(api_folder)) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "file"),
    [
        ("GET", "/", "index.py"),
        ("GET", "/v1/models", "v1/models.py"),
        ("HEAD", "/v1/models", "v1/models.py"),
        ("GET", "/api/v1/models", "v1/models.py"),
        ("GET", "/v1/models/glm-5.3", "v1/models.py"),
        ("POST", "/v1/chat/completions", "v1/chat/completions.py"),
        ("POST", "/api/v1/chat/completions", "v1/chat/completions.py"),
    ],
)
def test_a_request_is_answered_by_the_file_that_knows_its_path(
    client: TestClient, method: str, path: str, file: str
) -> None:
    for _ in range(2):  # found, then remembered
        answer = client.request(method, path)
        assert answer.status_code == 200
        assert method == "HEAD" or answer.json()["file"] == file


def test_the_file_gets_the_parameters_of_its_own_route(client: TestClient) -> None:
    assert client.get("/v1/models/a").json()["id"] == "a"
    assert client.get("/v1/models/b").json()["id"] == "b"


def test_a_wrong_method_is_refused_by_the_file_of_the_path(client: TestClient) -> None:
    for _ in range(2):
        answer = client.get("/v1/chat/completions")
        assert answer.status_code == 405
        assert answer.json()["file"] == "v1/chat/completions.py"


def test_a_method_of_one_file_and_another_of_the_next_both_answer(api_folder: Path) -> None:
    write_file(api_folder, "v1/more.py", "/v1/models", methods=("DELETE",))
    client = TestClient(mount(api_folder))
    assert client.delete("/v1/models").json()["file"] == "v1/more.py"
    assert client.get("/v1/models").json()["file"] == "v1/models.py"
    assert client.put("/v1/models").json() == {"file": "v1/models.py", "error": 405}


def test_what_no_file_knows_is_answered_by_the_index(client: TestClient) -> None:
    answer = client.get("/v1/nothing")
    assert answer.status_code == 404
    assert answer.json()["file"] == "index.py"


def test_a_route_for_everything_in_the_index_hides_no_other_file(api_folder: Path) -> None:
    write_file(api_folder, "index.py", "/{path:path}")
    client = TestClient(mount(api_folder))
    assert client.get("/v1/models").json()["file"] == "v1/models.py"
    assert client.get("/v1/nothing").json()["file"] == "index.py"


def test_files_that_are_no_functions_on_the_host_are_not_loaded(api_folder: Path) -> None:
    for name in ("_helper.py", "_lib/x.py", ".hidden/x.py", "__pycache__/x.py"):
        (api_folder / name).parent.mkdir(exist_ok=True)
        (api_folder / name).write_text("raise AssertionError('loaded')")
    mount(api_folder)


def test_the_same_file_name_in_two_folders_is_two_files(api_folder: Path) -> None:
    write_file(api_folder, "v2/models.py", "/v2/models")
    client = TestClient(mount(api_folder))
    assert client.get("/v1/models").json()["file"] == "v1/models.py"
    assert client.get("/v2/models").json()["file"] == "v2/models.py"


def test_a_file_without_an_app_is_named(api_folder: Path) -> None:
    (api_folder / "v1/broken.py").write_text("handler = 1")
    with pytest.raises(TypeError, match=r"Expected .*v1/broken\.py to define `app`"):
        mount(api_folder)


def test_a_folder_without_an_index_is_refused(api_folder: Path) -> None:
    (api_folder / "index.py").unlink()
    with pytest.raises(RuntimeError, match=r"index\.py is missing"):
        mount(api_folder)


def test_a_websocket_is_refused_by_the_index(client: TestClient) -> None:
    with pytest.raises(Exception, match=r".*"), client.websocket_connect("/v1/models"):
        pass


def test_what_is_shared_is_closed_when_the_server_ends(api_folder: Path) -> None:
    closed = []

    async def close() -> None:
        closed.append(True)

    with TestClient(mount(api_folder, close)):
        assert not closed
    assert closed == [True]


def test_the_file_of_a_known_path_is_looked_for_once(client: TestClient) -> None:
    app = client.app
    assert isinstance(app, MountedFiles)
    for _ in range(50):
        client.get("/v1/models")
        client.get("/v1/nothing")
    assert app._remembered.cache_info().misses == 2


def test_every_file_of_the_repository_answers_at_its_own_path_in_both_forms() -> None:
    mounted = mount(API_FOLDER)
    assert {endpoint.file for endpoint in ENDPOINTS} == {
        f"api/{path.relative_to(API_FOLDER).as_posix()}" for path in function_files(API_FOLDER)
    }
    for endpoint in ENDPOINTS:
        own = sys.modules[f"api:{API_FOLDER.parent / endpoint.file}"].app
        first = endpoint.paths[0]
        for url_path in (first, f"/api{first}", f"/api{first}".rstrip("/")):
            assert mounted._find("ANY", url_path) is own, f"{endpoint.file} does not answer {url_path}"
