"""The page's files: their addresses, their headers, and no way to anything else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from starlette.testclient import TestClient

from lib.upstreams.condition import KeyHealth
from lib.web.index import DEMO_KEY, index_app
from lib.web.page_files import FOLDER, FOREVER, TYPES, page_of, read_page

ROOT = Path(__file__).parents[3]
MAX_BYTES = 150 * 1024
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "connect-src": "'self'",
    "img-src": "'self' data: blob:",
    "media-src": "http: https:",
    "form-action": "'none'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
NOT_MET = {
    # The page sends well-formed requests to paths that exist, each order with a name of its own.
    *("invalid_json", "missing_field", "invalid_value", "unsupported_parameter", "invalid_form"),
    *("not_found", "method_not_allowed", "unsupported_encoding", "idempotency_key_reused"),
    # It asks for no embeddings, reranking or sound, and for no content of a video.
    *("official_key_missing", "video_not_ready"),
    # The next step is the same sentence for everybody, and the message has it.
    *("request_timeout", "internal_error"),
}
"""These codes have no hint."""
NAMES = sorted(path.name for path in FOLDER.iterdir())


@pytest.fixture
def client() -> TestClient:
    return TestClient(index_app(), base_url="http://gateway.example", follow_redirects=False)


def addresses_in(html: str) -> list[str]:
    return re.findall(r'(?:href|src)="([^"]*)"', html)


@pytest.mark.parametrize("path", ["/", "/index", "/api/", "/api/index"])
def test_every_file_that_the_page_names_is_there_and_may_be_kept_for_good(
    client: TestClient, path: str
) -> None:
    named = set(addresses_in(client.get(path).text))
    for address in named:
        answer = client.get(path.rpartition("/")[0] + "/" + address)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, FOREVER), address
    assert f"app.js?v={read_page().version}" in named


def test_every_file_between_the_files_has_the_version_too() -> None:
    page = read_page()
    asked = set()
    for name, file in page.files.items():
        if name.endswith(".js"):
            text = file.body.decode()
            imported = re.findall(r'from "\./([^"]+)"', text)
            assert [address for address in imported if not address.endswith(f".js?v={page.version}")] == []
            pictures = re.findall(r'"([a-z-]+\.svg[^"]*)"', text)
            assert [address for address in pictures if not address.endswith(f"?v={page.version}")] == []
            asked |= {address.partition("?")[0] for address in (*imported, *pictures)}
    asked |= {address.partition("?")[0] for address in addresses_in(page.html)}
    assert asked == set(NAMES) - {"index.html"}


@pytest.mark.parametrize("query", ["", "?v=", "?v=another"])
def test_a_file_without_its_own_version_is_asked_for_again(client: TestClient, query: str) -> None:
    assert client.get(f"/app.js{query}").headers["cache-control"] == "no-cache"


def test_one_changed_file_changes_every_address() -> None:
    sources = {"index.html": b'<script src="app.js">', "app.js": b'import "./a.js"; import x from "./a.js";'}
    before, after = page_of(sources), page_of({**sources, "a.js": b"1"})
    assert before.version != after.version
    assert f'src="app.js?v={after.version}"' in after.html
    assert f'from "./a.js?v={after.version}"'.encode() in after.files["app.js"].body


@pytest.mark.parametrize("name", [*NAMES, "favicon.ico", ""])
def test_every_answer_has_the_policy_and_leaves_no_address_behind(client: TestClient, name: str) -> None:
    if name == "index.html":
        return  # The page has the address `/` alone.
    headers = client.get(f"/{name}").headers
    directives = headers["content-security-policy"].split("; ")
    assert dict(directive.split(" ", 1) for directive in directives) == POLICY
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"
    assert "content-encoding" not in headers


def test_the_page_itself_is_asked_for_again(client: TestClient) -> None:
    assert client.get("/").headers["cache-control"] == "no-cache"


def test_all_files_are_text_and_small() -> None:
    assert {Path(name).suffix for name in NAMES} <= set(TYPES)
    for path in FOLDER.iterdir():
        path.read_text("utf-8")
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < MAX_BYTES


def test_the_page_needs_nothing_that_the_policy_forbids() -> None:
    html = (FOLDER / "index.html").read_text()
    assert re.findall(r"<script(?! type=\"module\" src=\"app\.js\"></script>)[^>]*>", html) == []
    assert not re.search(r"<style|\sstyle=|\son\w+=|<(iframe|object|embed|base)\b", html)
    style = (FOLDER / "style.css").read_text()
    assert "url(" not in style
    assert "@import" not in style
    for path in FOLDER.glob("*.svg"):
        assert not re.search(r"<style|\sstyle=|<script|href=", path.read_text())


def test_no_script_makes_markup_of_text() -> None:
    for path in FOLDER.glob("*.js"):
        made = re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function|srcdoc",
            path.read_text(),
        )
        assert made == [], path.name


def test_no_file_names_another_origin_but_as_words() -> None:
    for path in FOLDER.iterdir():
        origins = set(re.findall(r"https?://[\w.-]*\w", path.read_text()))
        # The repository's address is a link: the page asks it for nothing.
        assert origins <= {"https://chatglm.cn", "http://www.w3.org", "https://github.com"}, path.name


def test_both_languages_have_the_same_words() -> None:
    words = (FOLDER / "words.js").read_text()
    english, chinese = (
        set(re.findall(r"(?:^|, | {4})(\w+): \"", part, re.MULTILINE))
        for part in words.partition("export const WORDS")[2].partition("\n};\n")[0].split("\n  zh: {")
    )
    assert english == chinese
    assert len(english) > 200


def test_every_word_that_is_asked_for_is_there_and_every_word_is_asked_for() -> None:
    words = (FOLDER / "words.js").read_text().partition("\n  zh: {")[0]
    known = set(re.findall(r"(?:^|, | {4})(\w+): \"", words, re.MULTILINE))
    code = "".join(
        path.read_text() for path in FOLDER.iterdir() if path.name not in ("words.js", "style.css")
    )
    used = {
        name
        for name in known
        if re.search(rf'["`]{name}["`]|\b{name}: "\d+:\d+"|\b{name}: \[|\b{name}: "(?:cog|"|#|/)', code)
    }
    families = ("hint_", "state_", "guide_", "official_", "todo_")
    composed = {name for name in known if name.startswith(families)}
    assert known - used - composed - {"language"} == set()
    asked = set(re.findall(r'\bt(?:Label|Placeholder|Alt|Group)?: "(\w+)"|data-t(?:-label)?="(\w+)"', code))
    assert {first or second for first, second in asked} <= known


def test_every_code_of_an_error_that_the_page_can_meet_has_its_next_step() -> None:
    table = (ROOT / "docs/errors.md").read_text().partition("## All of them")[2].partition("\n## ")[0]
    codes = set(re.findall(r"^\| \d{3} \| `\w+` \| `(\w+)` \|", table, re.MULTILINE))
    words = (FOLDER / "words.js").read_text()
    assert len(codes) > 30
    assert codes >= NOT_MET
    assert {code for code in codes if words.count(f" hint_{code}: ") != 2} == NOT_MET


def test_every_state_of_a_key_of_the_official_api_has_its_word() -> None:
    words = (FOLDER / "words.js").read_text()
    states = get_args(get_type_hints(KeyHealth)["state"])
    assert [state for state in states if words.count(f' official_{state}: "') != 2] == []
    assert len(states) > 2


@pytest.mark.parametrize(("path", "location"), [("/api", "api/"), ("/api?x=1", "api/")])
def test_the_page_without_its_last_slash_leads_to_the_one_with_it(
    client: TestClient, path: str, location: str
) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["location"]) == (307, location)
    assert client.get(str(answer.url.join(location))).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/index.html",
        "/nothing.js",
        "/APP.js",
        "/a/app.js",
        "/..%2fapp.py",
        "/%2e%2e/app.js",
        "/app.js%0a",
        "/page.py",
    ],
)
def test_nothing_else_has_an_address(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


def test_a_file_takes_no_other_method(client: TestClient) -> None:
    assert client.post("/app.js").status_code == 405
    assert client.head("/app.js").status_code == 200


def test_an_icon_and_the_robots_are_answered(client: TestClient) -> None:
    icon = client.get("/favicon.ico")
    assert icon.headers["content-type"] == "image/svg+xml"
    assert icon.content == (FOLDER / "icon.svg").read_bytes()
    assert "Disallow: /" in client.get("/robots.txt").text


def test_only_the_demos_server_makes_the_page_name_a_key(client: TestClient) -> None:
    assert "glm-gateway-demo-key" not in client.get("/").text

    async def demo(scope: Any, receive: Any, send: Any) -> None:
        scope[DEMO_KEY] = 'sk-"><script>'
        await index_app()(scope, receive, send)

    shown = TestClient(demo).get("/").text
    assert '<meta name="glm-gateway-demo-key" content="sk-&quot;&gt;&lt;script&gt;">' in shown
    assert shown.index("glm-gateway-demo-key") < shown.index("</head>")


# Below a stage of API Gateway


@pytest.mark.parametrize(
    ("path", "outside", "location"),
    [
        ("/", "/prod", "prod/"),
        ("/api", "/prod/api", "api/"),
        ("/", "/prod/", None),
        ("/api/", "/prod/api/", None),
        ("/", "/", None),
    ],
)
def test_below_a_stage_the_page_has_its_last_slash(path: str, outside: str, location: str | None) -> None:
    async def staged(scope: Any, receive: Any, send: Any) -> None:
        scope["aws.event"] = {"requestContext": {"path": outside}}
        await index_app()(scope, receive, send)

    answer = TestClient(staged, follow_redirects=False).get(path)
    assert (answer.status_code, answer.headers.get("location")) == (
        (307, location) if location else (200, None)
    )
