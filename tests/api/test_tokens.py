"""GET and POST /tokens, DELETE /tokens/{label} over a live server: accounts without a new deployment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SimulatedAccount, Upstream
from tests.support.client import KEY, Client, error_of
from tests.unit.upstreams.chatglm.accounts.fakes import make_jwt


@pytest.fixture
def lasting(client: Client, environment: pytest.MonkeyPatch, tmp_path: Path) -> Client:
    """Give the owner's client of a gateway whose store outlives the process."""
    environment.setenv("STORE_URL", f"sqlite:///{tmp_path / 'state.db'}")
    return client


@pytest.fixture
def empty(lasting: Client, environment: pytest.MonkeyPatch) -> Client:
    """Give the same without any account."""
    environment.delenv("CHATGLM_REFRESH_TOKENS")
    return lasting


def add(client: Client, token: str, status: int = 201) -> dict[str, Any]:
    response = client.post("/tokens", {"token": token})
    assert response.status_code == status, response.text
    added: dict[str, Any] = response.json()
    assert set(added) == {"label", "source", "state", "until", "expires_at"}
    return added


def refusal(client: Client, token: object) -> tuple[int, str]:
    response = client.post("/tokens", {"token": token})
    return response.status_code, error_of(response)["code"]


def kill(upstream: Upstream, account: SimulatedAccount) -> None:
    upstream.sim.revoke(account.uid)
    upstream.sim.expire_access_tokens(account.uid)


def listed(client: Client) -> list[tuple[str, str, str]]:
    response = client.get("/tokens")
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    return [(one["label"], one["source"], one["state"]) for one in response.json()["accounts"]]


def test_a_gateway_without_an_account_is_in_order_and_says_where_to_add_one(empty: Client) -> None:
    health = empty.get("/health").json()
    assert (health["status"], health["accounts"]) == ("ok", 0)
    assert [note for note in health["notes"] if "POST /tokens" in note]
    refused = empty.chat()
    assert (refused.status_code, error_of(refused)["code"]) == (503, "no_account_available")
    assert "POST /tokens" in error_of(refused)["message"]
    assert listed(empty) == []


def test_an_added_account_answers_at_once(empty: Client, account: SimulatedAccount) -> None:
    added = add(empty, f" {account.token}\n")
    assert (added["label"], added["source"], added["state"]) == (account.label, "store", "ready")
    assert added["expires_at"] > 1_700_000_000
    assert empty.text("Hello!")
    assert listed(empty) == [(account.label, "store", "ready")]
    assert empty.get("/health").json()["accounts"] == 1


def test_a_removed_account_answers_no_more(empty: Client, account: SimulatedAccount) -> None:
    add(empty, account.token)
    removed = empty.request("DELETE", f"/tokens/{account.label}")
    assert (removed.status_code, removed.content) == (204, b"")
    assert listed(empty) == []
    assert empty.chat().status_code == 503
    again = empty.request("DELETE", f"/tokens/{account.label}")
    assert (again.status_code, error_of(again)["code"]) == (404, "not_found")


def test_a_dead_token_is_replaced_and_the_chat_works_again(
    empty: Client, account: SimulatedAccount, upstream: Upstream
) -> None:
    add(empty, account.token)
    kill(upstream, account)
    assert empty.chat().status_code == 503
    assert listed(empty) == [(account.label, "store", "refused")]
    assert add(empty, upstream.sim.log_in(account.uid), 200)["state"] == "ready"
    assert empty.text("Hello!")
    assert listed(empty) == [(account.label, "store", "ready")]


def test_a_newer_login_of_an_account_of_the_environment_is_used(
    lasting: Client, account: SimulatedAccount, upstream: Upstream
) -> None:
    kill(upstream, account)
    assert lasting.chat().status_code == 503
    assert listed(lasting) == [(account.label, "environment", "refused")]
    assert add(lasting, upstream.sim.log_in(account.uid))["source"] == "environment"
    assert lasting.text("Hello!")
    assert listed(lasting) == [(account.label, "environment", "ready")]
    removed = lasting.request("DELETE", f"/tokens/{account.label}")
    assert (removed.status_code, error_of(removed)["code"]) == (409, "account_of_environment")


def test_the_same_token_twice_is_a_conflict(
    lasting: Client, account: SimulatedAccount, upstream: Upstream
) -> None:
    other = upstream.add_account()
    add(lasting, other.token)
    for token in (account.token, other.token):
        assert refusal(lasting, token) == (409, "token_exists")


REFUSED = {
    "nothing": ("", "invalid_token"),
    "null": (None, "invalid_token"),
    "junk": ("junk", "invalid_token"),
    "two": ("a.b.c,d.e.f", "invalid_token"),
    "too long": (make_jwt(type="refresh", uid="1", exp=9e9, x="x" * 4096), "invalid_token"),
    "another type": (make_jwt(type="other", uid="1", exp=9e9), "invalid_token"),
    "an access token": (make_jwt(type="access", uid="1", exp=9e9), "invalid_token"),
    "no end": (make_jwt(type="refresh", uid="1"), "invalid_token"),
    "over": (make_jwt(type="refresh", uid="1", exp=1), "refresh_token_expired"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_text_that_is_no_living_refresh_token_is_refused_and_the_upstream_not_asked(
    lasting: Client, upstream: Upstream, name: str
) -> None:
    token, code = REFUSED[name]
    assert refusal(lasting, token) == (400, code)
    assert upstream.sim.calls == []


def test_a_token_that_the_upstream_does_not_take_is_refused(lasting: Client, upstream: Upstream) -> None:
    guest, blocked, dead = (
        upstream.add_account(guest=True),
        upstream.add_account(blocked=True),
        upstream.add_account(),
    )
    upstream.sim.revoke(dead.uid)
    assert refusal(lasting, guest.token) == (400, "guest_account")
    assert refusal(lasting, blocked.token) == (400, "account_blocked")
    assert refusal(lasting, dead.token) == (400, "refresh_token_expired")
    assert len(listed(lasting)) == 1


@pytest.mark.parametrize(("status", "expected"), [(429, 429), (500, 502)])
def test_an_upstream_that_does_not_tell_is_a_failure_and_nothing_is_kept(
    lasting: Client, upstream: Upstream, status: int, expected: int
) -> None:
    other = upstream.add_account()
    upstream.sim.fail("user/info", status=status)
    assert lasting.post("/tokens", {"token": other.token}).status_code == expected
    assert len(listed(lasting)) == 1
    add(lasting, other.token)


def test_a_store_that_forgets_takes_no_account(client: Client, upstream: Upstream) -> None:
    other = upstream.add_account()
    assert refusal(client, other.token) == (409, "store_not_persistent")
    answer = client.get("/tokens").json()
    assert answer["can_add"] is False
    assert "memory://" in answer["why"]
    assert upstream.sim.calls == []


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/tokens"), ("POST", "/tokens"), ("DELETE", "/tokens/x")]
)
def test_only_a_key_opens_the_list(
    lasting: Client, upstream: Upstream, environment: pytest.MonkeyPatch, method: str, path: str
) -> None:
    environment.setenv("ALLOW_PASSTHROUGH", "true")
    stranger = upstream.add_account()
    for credential in ("", "Bearer wrong", f"Bearer {stranger.token}"):
        refused = lasting.request(
            method, path, headers={"authorization": credential}, json={"token": stranger.token}
        )
        assert (refused.status_code, error_of(refused)["code"]) == (401, "invalid_api_key")
    assert upstream.sim.calls == []


def test_strangers_do_not_use_up_the_budget_of_the_owner(
    lasting: Client, environment: pytest.MonkeyPatch, upstream: Upstream
) -> None:
    environment.setenv("ALLOW_PASSTHROUGH", "true")
    strangers = [upstream.add_account().token for _ in range(48)]
    statuses = {
        lasting._http.post(
            f"{lasting.url}/token/check", json={"token": ",".join(strangers[at : at + 16])}
        ).status_code
        for at in (0, 16, 32)
    }
    assert 429 in statuses
    add(lasting, upstream.add_account().token)


def test_the_deep_look_lists_added_accounts_by_their_label(lasting: Client, upstream: Upstream) -> None:
    other = upstream.add_account()
    add(lasting, other.token)
    first, second = lasting.get("/health?deep=1").json()["accounts"]
    assert (first["token"], first["state"]) == (1, "alive")
    assert (second["token"], second["label"], second["state"]) == (None, other.label, "alive")


def test_a_busy_and_a_resting_account_are_told_apart(
    lasting: Client, account: SimulatedAccount, upstream: Upstream
) -> None:
    assert listed(lasting) == [(account.label, "environment", "unknown")]
    upstream.sim.play("throttled_429")
    assert lasting.chat().status_code == 429
    [resting] = lasting.get("/tokens").json()["accounts"]
    assert resting["state"] == "resting"
    assert resting["until"] > 1_700_000_000


def test_a_check_of_ones_own_accounts_has_the_added_ones_too(lasting: Client, upstream: Upstream) -> None:
    add(lasting, upstream.add_account().token)
    checks = lasting.request("POST", "/token/check").json()
    assert [one["live"] for one in checks["accounts"]] == [True, True]


def test_no_answer_holds_a_token(lasting: Client, account: SimulatedAccount, upstream: Upstream) -> None:
    other = upstream.add_account()
    texts = [lasting.post("/tokens", {"token": other.token}).text for _ in range(2)]
    texts += [lasting.get(path).text for path in ("/tokens", "/health?deep=1", "/health")]
    known = upstream.sim.account(other.uid)
    for secret in (account.token, other.token, other.uid, KEY, known.refresh_token, *known.access_tokens):
        assert not [text for text in texts if secret in text]


def test_a_list_that_no_key_opens_counts_as_absent_and_health_says_so(
    empty: Client, account: SimulatedAccount, upstream: Upstream, environment: pytest.MonkeyPatch
) -> None:
    add(empty, account.token)
    environment.setenv("API_KEYS", "sk-another-one")
    empty.credential = "sk-another-one"
    for path in ("/health", "/health?deep=1"):
        health = empty.get(path).json()
        assert health["status"] == "degraded"
        assert [note for note in health["notes"] if "STORE_SECRET" in note]
    assert listed(empty) == []
    assert empty.chat().status_code == 503
    add(empty, upstream.sim.log_in(account.uid))
    assert empty.text("Hello!")
    assert empty.get("/health").json()["status"] == "ok"


def test_an_account_survives_a_change_of_the_key_one_at_a_time(
    empty: Client, account: SimulatedAccount, environment: pytest.MonkeyPatch
) -> None:
    add(empty, account.token)
    for keys in (f"{KEY},sk-new", "sk-new"):
        environment.setenv("API_KEYS", keys)
        empty.credential = "sk-new"
        assert listed(empty) == [(account.label, "store", "ready")]
    assert empty.text("Hello!")


def test_a_store_that_fails_keeps_no_account_and_the_token_is_not_used_up(
    client: Client, upstream: Upstream, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "no").touch()
    environment.setenv("STORE_URL", f"sqlite:///{tmp_path / 'no' / 'state.db'}")
    other = upstream.add_account()
    assert refusal(client, other.token) == (503, "store_unavailable")
    answer = client.get("/tokens").json()
    assert answer["can_add"] is False
    assert "The store takes no writes" in answer["why"]
    assert upstream.count("user/refresh") == 0


def test_a_body_that_is_no_json_is_a_mistake_like_any(lasting: Client) -> None:
    response = lasting.request("POST", "/tokens", content=b"eyJ.refresh.token")
    assert (response.status_code, error_of(response)["code"]) == (400, "invalid_json")


def test_a_body_that_is_too_large_names_no_setting(lasting: Client) -> None:
    refused = lasting.post("/tokens", {"token": "a" * 70_000})
    assert (refused.status_code, error_of(refused)["code"]) == (413, "request_too_large")
    assert "MAX_BODY_BYTES" not in error_of(refused)["message"], "it does not set this limit"


def test_an_added_account_makes_videos_and_continues_conversations(
    empty: Client, account: SimulatedAccount, upstream: Upstream
) -> None:
    upstream.sim.video_poll_s = 0.0
    add(empty, account.token)
    add(empty, upstream.add_account().token)
    first = empty.answer("Hello!", conversation_id="none")
    assert first["id"].endswith(tuple(label for label, _, _ in listed(empty)))
    assert empty.answer("Go on.", conversation_id=first["id"])["id"] == first["id"]
    made = empty.post("/v1/videos", {"prompt": "[scene:video] a cat"})
    assert made.status_code == 200, made.text
    assert empty.get(f"/v1/videos/{made.json()['id']}").status_code == 200
    assert len(empty.get("/v1/models").json()["data"]) > 1


def test_the_file_of_the_store_holds_no_token(
    empty: Client, account: SimulatedAccount, upstream: Upstream, tmp_path: Path
) -> None:
    add(empty, account.token)
    assert empty.text("Hello!")
    known = upstream.sim.account(account.uid)
    content = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert len(content) > 1000
    for secret in (account.token, known.refresh_token, *known.access_tokens, KEY, "refresh_token"):
        assert secret.encode() not in content
