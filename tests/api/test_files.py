"""Images and documents in a chat: the official SDK, the gateway, the simulator, a server of files."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from simulator.app import Simulator
from tests.conftest import SimulatedAccount, Upstream
from tests.support.client import CHAT, KEY, Client, error_of
from tests.support.files import FileServer
from tests.support.live import LiveGateway
from tests.support.waiting import wait_until
from tests.support.wire import RawClient

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9
GIF = b"GIF89a" + b"\x07" * 100
PDF = b"%PDF-1.7\n" + b"words " * 50_000
TEXT = "一二三, and a line.\n".encode()
UPLOAD = "file/chat_upload"
OLD_UPLOAD = "assistant/file_upload"


@pytest.fixture
def files(environment: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """Give a server of files on this machine, which the gateway is allowed to fetch from."""
    with FileServer() as server:
        environment.setenv("FETCH_ALLOW_HOSTS", server.host)
        yield server


@pytest.fixture
def sdk(client: Client) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=KEY, base_url=f"{client.url}/v1", max_retries=0) as sdk:
        yield sdk


def line(kind: str, name: str, content: bytes) -> str:
    """One line of the scene `files`."""
    return f"{kind} {name} {len(content)} {hashlib.sha256(content).hexdigest()}\n"


def data_url(content: bytes, mime: str = "") -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def text(prompt: str = "[scene:files] What is this?") -> dict[str, Any]:
    return {"type": "text", "text": prompt}


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def document(url: str) -> dict[str, Any]:
    return {"type": "file", "file_url": {"url": url}}


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def ask(client: Client, *messages: dict[str, Any], **fields: Any) -> str:
    response = client.post(CHAT, {"model": "glm-5.3", "messages": list(messages), **fields})
    assert response.status_code == 200, response.text
    return str(response.json()["choices"][0]["message"]["content"])


def refusal(client: Client, *parts: dict[str, Any], status: int = 400, **fields: Any) -> dict[str, Any]:
    response = client.post(CHAT, {"model": "glm-5.3", "messages": [user(text(), *parts)], **fields})
    assert response.status_code == status, response.text
    return error_of(response)


def test_a_vision_chat_of_the_official_sdk(sdk: openai.OpenAI, files: FileServer) -> None:
    url = files.serve("/photos/cat.png?size=1", PNG, "content-type: image/png")
    completion = sdk.chat.completions.create(
        model="glm-5.3",
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "[scene:files] What is in this image?"},
                    {"type": "image_url", "image_url": {"url": url, "detail": "high"}},
                ],
            }
        ],
    )
    assert completion.choices[0].message.content == line("image", "cat.png", PNG)
    assert len(files.requests) == 1
    assert files.requests[0].startswith("GET /photos/cat.png?size=1 HTTP/1.1\r\n")


def test_a_streamed_vision_chat_of_the_official_sdk(sdk: openai.OpenAI) -> None:
    stream = sdk.chat.completions.create(
        model="glm-5.3",
        stream=True,
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "[scene:files] What is in this image?"},
                    {"type": "image_url", "image_url": {"url": data_url(GIF, "image/png")}},
                ],
            }
        ],
    )
    answer = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert answer == line("image", "file.gif", GIF)


def test_a_file_chat_of_the_official_sdk(sdk: openai.OpenAI) -> None:
    completion = sdk.chat.completions.create(
        model="glm-5.3",
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "[scene:files] Summarise."},
                    {"type": "file", "file": {"filename": "报告 1.pdf", "file_data": data_url(PDF)}},
                ],
            }
        ],
    )
    assert completion.choices[0].message.content == line("file", "报告 1.pdf", PDF)


def test_every_form_of_a_part(client: Client, files: FileServer) -> None:
    bare = base64.b64encode(TEXT + b"4").decode()
    answer = ask(
        client,
        user(
            text(),
            {"type": "image_url", "image_url": files.serve("/a.gif", GIF)},
            document(files.serve("/b", PDF, 'content-disposition: attachment; filename="in it.pdf"')),
            {"type": "file_url", "file_url": data_url(TEXT + b"2", "text/markdown")},
            {"type": "file", "file_url": data_url(TEXT + b"3", "text/csv")},
            {"type": "file", "file": {"filename": "four.py", "file_data": bare}},
        ),
    )
    assert answer == (
        line("image", "a.gif", GIF)
        + line("file", "in it.pdf", PDF)
        + line("file", "file.md", TEXT + b"2")
        + line("file", "file.csv", TEXT + b"3")
        + line("file", "four.py", TEXT + b"4")
    )


def test_the_references_are_in_the_user_message_after_its_text(client: Client, upstream: Upstream) -> None:
    ask(client, user(document(data_url(TEXT)), image(data_url(PNG)), text(), image(data_url(GIF))))
    (body,) = upstream.chats()
    (message,) = body["messages"]
    words, images, documents = message["content"]
    assert words == {"type": "text", "text": "[scene:files] What is this?"}
    assert [(file["file_name"], file["order"]) for file in images["image"]] == [
        ("file.png", 0),
        ("file.gif", 1),
    ]
    assert [(file["file_name"], file["order"]) for file in documents["file"]] == [("file.txt", 0)]


def test_the_files_of_all_turns_are_passed_on_each_once(
    client: Client, files: FileServer, upstream: Upstream
) -> None:
    cat, pdf = files.serve("/cat.png", PNG), files.serve("/other.pdf", PDF)
    answer = ask(
        client,
        {"role": "system", "content": "Be kind."},
        user(text("Look."), image(cat), document(pdf)),
        {"role": "assistant", "content": "![made](https://sfile.example/by-an-assistant.png) A cat."},
        user(text("Again."), image(cat), image(data_url(PNG))),
        {"role": "assistant", "content": "Yes."},
        user(text(), document(data_url(TEXT))),
    )
    assert answer == line("image", "cat.png", PNG) + line("file", "other.pdf", PDF) + line(
        "file", "file.txt", TEXT
    )
    assert sorted(files.paths) == ["/cat.png", "/other.pdf"]
    assert upstream.count(UPLOAD) == 3


def test_a_continued_conversation_gets_its_new_files_only(client: Client, files: FileServer) -> None:
    question = user(text(), image(files.serve("/cat.png", PNG)))
    body = {"model": "glm-5.3", "messages": [question], "conversation_id": "none"}
    first = client.post(CHAT, body).json()
    answer = ask(
        client,
        question,
        {"role": "assistant", "content": "A cat."},
        user(text(), document(files.serve("/new.txt", TEXT))),
        conversation_id=first["id"],
    )
    assert answer == line("file", "new.txt", TEXT)
    assert files.paths == ["/cat.png", "/new.txt"]


def test_what_cannot_be_had_is_refused_before_an_account_is_asked(
    client: Client, files: FileServer, upstream: Upstream
) -> None:
    for part, words in [
        (image(files.url + "/nothing"), "answered HTTP 404"),
        (document("http://169.254.169.254/latest/meta-data/"), "is not a public host"),
        (document("http://192.168.1.9/mine.txt"), "FETCH_ALLOW_HOSTS lets it in"),
        (document("ftp://example.org/x"), "must begin with http:, https: or data:"),
        (document("data:;base64,!!!"), "not valid base64"),
        (
            image(files.serve("/page", b"<html>Please log in</html>")),
            "Expected an image, got text/html",
        ),
        (document(files.serve("/empty", b"")), "is empty"),
    ]:
        error = refusal(client, part)
        assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_file")
        assert error["param"] == "messages[0].content[1]"
        assert words in error["message"]
    assert upstream.count(UPLOAD) == upstream.count("assistant/stream") == 0


def test_a_file_beyond_the_limit_is_413(
    client: Client, files: FileServer, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("MAX_FILE_BYTES", "1000")
    assert refusal(client, document(data_url(PDF)), status=413)["code"] == "request_too_large"
    error = refusal(client, image(files.serve("/cat.png", PNG)), status=413)
    assert (error["code"], error["param"]) == ("request_too_large", "messages[0].content[1]")


def test_too_many_files_are_refused(client: Client) -> None:
    error = refusal(client, *[document(data_url(b"%d" % number)) for number in range(51)])
    assert error["message"] == "expected at most 50 files in one request, got 51"


def test_an_upload_that_is_refused_fails_the_request_with_the_upstreams_words(
    client: Client, sim: Simulator, upstream: Upstream
) -> None:
    for path in (UPLOAD, OLD_UPLOAD):
        sim.fail(path, status=200, body={"status": 60001, "message": "文件格式不支持", "result": None})
    error = refusal(client, document(data_url(TEXT)), status=502)
    assert error["code"] == "upstream_error"
    assert "60001: 文件格式不支持" in error["message"]
    assert upstream.count("assistant/stream") == 0


def test_a_file_that_the_upstream_will_not_take_is_the_callers_to_change(
    client: Client, sim: Simulator
) -> None:
    for status, ours, code in ((413, 413, "request_too_large"), (415, 400, "invalid_file")):
        sim.fail(UPLOAD, status=status, body={"status": status, "message": "no"})
        error = refusal(client, document(data_url(TEXT)), status=ours)
        assert (error["code"], error["param"]) == (code, "messages[0].content[1]")


def test_an_upload_that_is_throttled_is_429(client: Client, sim: Simulator, upstream: Upstream) -> None:
    sim.fail(UPLOAD, status=429, body={"status": 10061, "message": "请求过于频繁，请稍后再试"})
    assert refusal(client, document(data_url(TEXT)), status=429)["code"] == "rate_limit_exceeded"
    assert upstream.count(UPLOAD) == 1


def test_an_upload_that_fails_is_not_repeated_on_the_same_account(
    client: Client, sim: Simulator, upstream: Upstream
) -> None:
    sim.fail(UPLOAD, status=500, body={"status": 500, "message": "internal server error"}, times=9)
    assert "internal server error" in refusal(client, document(data_url(TEXT)), status=502)["message"]
    assert (upstream.count(UPLOAD), upstream.count(OLD_UPLOAD)) == (1, 0)


def test_another_account_gets_the_file_once_and_it_is_fetched_once(
    client: Client, sim: Simulator, upstream: Upstream, files: FileServer, environment: pytest.MonkeyPatch
) -> None:
    accounts = [upstream.add_account() for _ in range(2)]
    environment.setenv("CHATGLM_REFRESH_TOKENS", ",".join(account.token for account in accounts))
    sim.fail(UPLOAD, status=500, body={"status": 500, "message": "internal server error"})
    answer = ask(client, user(text(), image(files.serve("/cat.png", PNG))))
    assert answer == line("image", "cat.png", PNG)
    assert len(files.requests) == 1
    assert {call.uid for call in sim.calls_to(UPLOAD)} == {account.uid for account in accounts}
    assert upstream.count(UPLOAD) == 2


def test_a_second_try_on_the_same_account_uploads_nothing_again(
    client: Client, sim: Simulator, upstream: Upstream
) -> None:
    sim.play("error_10025")
    assert ask(client, user(text(), image(data_url(PNG)))) == line("image", "file.png", PNG)
    assert (upstream.count("assistant/stream"), upstream.count(UPLOAD)) == (2, 1)


@pytest.mark.parametrize("status", [404, 405])
def test_the_older_endpoint_serves_where_the_newer_is_gone(
    client: Client, sim: Simulator, upstream: Upstream, status: int
) -> None:
    sim.fail(UPLOAD, status=status, body=b"<html>no such page</html>", content_type="text/html")
    assert ask(client, user(text(), image(data_url(PNG)))) == line("image", "file.png", PNG)
    assert (upstream.count(UPLOAD), upstream.count(OLD_UPLOAD)) == (1, 1)


def test_a_list_of_one_is_an_answer_too(client: Client, sim: Simulator) -> None:
    sim.uploads_answer_lists = True
    assert ask(client, user(text(), image(data_url(PNG)))) == line("image", "file.png", PNG)


def test_a_refused_access_token_is_renewed_once(
    client: Client, sim: Simulator, upstream: Upstream, account: SimulatedAccount, gateway: LiveGateway
) -> None:
    ask(client, user(text()))
    wait_until(
        gateway.is_idle
    )  # The deletion of that conversation must not be the call that renews the token.
    sim.expire_access_tokens(account.uid)
    assert ask(client, user(text(), document(data_url(PDF)))) == line("file", "file.pdf", PDF)
    assert (upstream.count(UPLOAD), upstream.count("user/refresh")) == (2, 2)


def test_the_time_that_files_take_is_told(client: Client) -> None:
    body = {"messages": [user(text(), document(data_url(PDF)))]}
    timing = client.post(CHAT, body).headers["server-timing"]
    assert "files" in [entry.partition(";")[0] for entry in timing.split(", ")]


def test_a_client_that_leaves_during_an_upload_leaves_nothing_behind(
    client: Client, sim: Simulator, upstream: Upstream, gateway: LiveGateway
) -> None:
    sim.fail(UPLOAD, delay_s=0.5)
    with RawClient(gateway.url) as raw:
        body = {"messages": [user(text(), document(data_url(PDF)))]}
        raw.post(CHAT, body, authorization=f"Bearer {KEY}")
        wait_until(lambda: upstream.count(UPLOAD) == 1)
        raw.leave()
        wait_until(gateway.is_idle)
    assert upstream.count("assistant/stream") == 0


def test_the_hosts_end_cuts_a_slow_upload(
    client: Client, sim: Simulator, upstream: Upstream, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("MAX_DURATION_S", "0.3")
    sim.fail(UPLOAD, delay_s=0.5)
    error = refusal(client, document(data_url(PDF)), status=504)
    assert error["code"] == "upstream_timeout"
    assert upstream.count("assistant/stream") == 0
