"""The table of routes knows every file of api/ and every path of its, and the hosts' files say the same."""

from __future__ import annotations

import re
from itertools import chain

import pytest
from starlette.routing import Route

from hosts.box.mounting import API_FOLDER, function_files, load
from hosts.routes import ENDPOINTS, Endpoint
from scripts.support.write_routes import AWS, ROOT, VERCEL, aws_events, vercel_json

AGAIN = "run scripts/support/write-routes"
SERVERLESS = (ROOT / "serverless.yml").read_text()
endpoints = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.file)


def test_each_file_is_in_the_table_once() -> None:
    files = [file.relative_to(ROOT).as_posix() for file in function_files(API_FOLDER)]
    assert sorted(endpoint.file for endpoint in ENDPOINTS) == sorted(files)


def test_no_path_and_no_name_is_there_twice() -> None:
    paths = list(chain.from_iterable(endpoint.all_paths for endpoint in ENDPOINTS))
    assert len(set(paths)) == len(paths)
    assert len({endpoint.function for endpoint in ENDPOINTS}) == len(ENDPOINTS)


def is_answered(path: str, endpoint: Endpoint) -> bool:
    return any(
        path == known or (known.endswith("*") and path.startswith(known[:-1])) for known in endpoint.all_paths
    )


@endpoints
def test_the_table_has_every_path_of_a_file(endpoint: Endpoint) -> None:
    paths = [route.path for route in load(ROOT / endpoint.file).routes if isinstance(route, Route)]
    assert paths
    assert [path for path in paths if not is_answered(path.rstrip("/") or "/", endpoint)] == []


def test_a_path_that_the_table_lacks_is_noticed() -> None:
    ping = Endpoint("api/ping.py", "ping", ("/ping", "/pings/*"))
    assert is_answered("/ping", ping)
    assert is_answered("/api/pings/one", ping)
    assert not is_answered("/pings", ping)
    assert not is_answered("/ping/one", ping)


def test_the_hosts_files_are_those_of_the_table() -> None:
    assert vercel_json(VERCEL.read_text()) == VERCEL.read_text(), AGAIN
    assert aws_events() == AWS.read_text(), AGAIN


def test_nothing_but_the_rewrites_is_written_into_vercel_json() -> None:
    text = VERCEL.read_text()
    emptied = re.sub(r'(?<="rewrites": \[\n).*(?=  \]\n\})', "", text, flags=re.DOTALL)
    assert '"source": "/ping' not in emptied
    assert vercel_json(emptied) == text
    with pytest.raises(ValueError, match='expected one list "rewrites"'):
        vercel_json("{}")


@endpoints
def test_serverless_yml_has_the_function(endpoint: Endpoint) -> None:
    found = re.search(rf"^  {endpoint.function}:\n((?:    .*\n|\n)+)", SERVERLESS, re.MULTILINE)
    assert found is not None
    assert f"    events: ${{file(hosts/aws/routes.yml):{endpoint.function}}}\n" in found[1]
    started = f"ENDPOINT: {endpoint.file} }}\n"
    handled = f"    handler: hosts/aws/handlers.{endpoint.function}\n"
    assert (started in found[1], handled in found[1]) == (endpoint.streams, not endpoint.streams)


def test_serverless_yml_has_no_other_function() -> None:
    described = SERVERLESS.partition("\nfunctions:\n")[2].partition("\nresources:\n")[0]
    assert set(re.findall(r"^  (\w+):$", described, re.MULTILINE)) == {e.function for e in ENDPOINTS}
