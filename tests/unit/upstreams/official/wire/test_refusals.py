from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from lib.errors import GatewayError
from lib.receiving import Answer
from lib.upstreams.official.wire.refusals import DEFAULT_REST_S, check, error_in, rest_in

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC).timestamp()
RESET = "Your limit will reset at 2026-11-28 20:30:00"


def refusal(status: int, body: object, content_type: str = "application/json") -> GatewayError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(GatewayError) as caught:
        check(Answer(status, content_type, raw), now=NOW)
    return caught.value


def coded(code: object, message: str = "Words.") -> dict[str, object]:
    return {"error": {"code": code, "message": message}}


TABLE = [
    (401, 1000, 401, "invalid_api_key"),
    (401, 1003, 401, "invalid_api_key"),
    (401, 1005, 401, "invalid_api_key"),
    (429, 1113, 429, "insufficient_quota"),
    (401, 1110, 403, "permission_denied"),
    (401, 1112, 403, "permission_denied"),
    (403, 1121, 403, "permission_denied"),
    (403, 1220, 403, "permission_denied"),
    (403, 434, 403, "permission_denied"),
    (400, 1210, 400, "invalid_value"),
    (400, 1214, 400, "invalid_value"),
    (400, 1211, 404, "model_not_found"),
    (404, 1222, 400, "invalid_value"),
    (400, 1261, 400, "context_length_exceeded"),
    (400, 1300, 400, "content_filter"),
    (400, 1301, 400, "content_filter"),
    (429, 1302, 429, "rate_limit_exceeded"),
    (429, 1303, 429, "rate_limit_exceeded"),
    (429, 1305, 429, "rate_limit_exceeded"),
    (429, 1312, 429, "rate_limit_exceeded"),
    (429, 1308, 429, "rate_limit_exceeded"),
    (429, 1309, 429, "insufficient_quota"),
    (429, 1311, 429, "insufficient_quota"),
    (429, 1321, 429, "insufficient_quota"),
    (500, 500, 502, "upstream_error"),
    (500, 1234, 502, "upstream_error"),
    (400, 1701, 429, "rate_limit_exceeded"),
    (400, 1703, 400, "invalid_value"),
    (400, 9999, 400, "invalid_value"),
    (401, 9999, 401, "invalid_api_key"),
    (403, 9999, 403, "permission_denied"),
    (429, 9999, 429, "rate_limit_exceeded"),
    (503, 9999, 502, "upstream_error"),
]


@pytest.mark.parametrize(("status", "number", "ours", "code"), TABLE)
@pytest.mark.parametrize("form", [str, int])
def test_every_number_has_a_status_and_a_code(
    status: int, number: int, ours: int, code: str, form: type
) -> None:
    error = refusal(status, coded(form(number)))
    assert (error.status, error.code, error.number, error.http_status) == (ours, code, number, status)
    assert "Words." in error.message


@pytest.mark.parametrize(
    "body",
    [
        coded("1230"),
        {"code": 1230, "message": "Words."},
        {"msg": "Words.", "code": 1230},
        {"id": "1", "agent_id": "x", "status": "failed", "error": {"code": "1230", "message": "Words."}},
    ],
)
def test_a_success_that_holds_an_error_is_one(body: object) -> None:
    error = refusal(200, body)
    assert (error.status, error.number) == (502, 1230)


def test_an_error_may_be_a_text_alone() -> None:
    error = refusal(404, {"timestamp": "", "status": 404, "error": "Not Found", "path": "/x"})
    assert (error.status, error.retry) == (502, "never"), "no request of the client's is wrong"
    assert "Not Found. Check GLM_API_BASE_URL." in error.message


def test_answers_without_an_error_pass() -> None:
    for content_type, body in [
        ("application/json", b'{"object":"list","data":[]}'),
        ("application/json", b'{"code":200,"data":[]}'),
        ("application/json", b"[1]"),
        ("audio/wav", b"RIFF{}"),
    ]:
        answer = Answer(200, content_type, body)
        assert check(answer, now=NOW) is answer


@pytest.mark.parametrize(
    ("status", "ours", "retry"),
    [(405, 502, "never"), (404, 502, "never"), (502, 502, "again"), (429, 429, "elsewhere")],
)
def test_a_page_instead_of_json_is_an_error(status: int, ours: int, retry: str) -> None:
    error = refusal(status, b"<!DOCTYPE html>", "text/html; charset=utf-8")
    assert (error.status, error.retry, error.http_status) == (ours, retry, status)
    assert "text/html" in error.message or status == 429


def test_an_empty_answer_is_an_error() -> None:
    assert refusal(200, b"", "application/json").status == 502


@pytest.mark.parametrize("words", [RESET, "您的限额将在 2026-11-28 20:30:00 重置。"])
@pytest.mark.parametrize("number", [1304, 1308, 1310])
def test_the_time_of_a_reset_is_read_in_the_vendors_zone(words: str, number: int) -> None:
    error = refusal(429, coded(number, words))
    assert error.retry_after_s == 30 * 60
    assert "2026-11-28 20:30:00" in error.message


@pytest.mark.parametrize(
    ("words", "rest_s"),
    [
        ("no time", DEFAULT_REST_S),
        ("reset at 2026-13-45 99:99:99", DEFAULT_REST_S),
        ("2020-01-01 00:00:00", 1.0),
        ("9999-12-31 23:59:59", DEFAULT_REST_S),
    ],
)
def test_a_reset_without_a_readable_time_rests_a_while(words: str, rest_s: float) -> None:
    assert rest_in(words, NOW) == rest_s


def test_no_key_and_no_token_of_the_vendors_words_comes_out() -> None:
    key = f"{'0a' * 16}.SecretSecret1234"
    message = refusal(401, coded(1002, f"key {key} and token eyJhbGci.eyJzdWIi.c2lnbmF0dXJl")).message
    assert "SecretSecret" not in message
    assert "0a0a" not in message
    assert "eyJ" not in message


@pytest.mark.parametrize(
    "key",
    [
        f"{'0A' * 16}.SecretSecret1234",
        "sk-SecretSecret1234",
        "Bearer SecretSecret1234",
        "SecretSecret12345678.SecretSecret",
    ],
)
def test_a_key_of_another_form_does_not_come_out_either(key: str) -> None:
    message = refusal(401, coded(1002, f"the key {key} is wrong, see https://docs.bigmodel.cn/api")).message
    assert "Secret" not in message
    assert "docs.bigmodel.cn/api" in message


def test_words_of_any_length_are_searched_at_once() -> None:
    assert len(refusal(400, coded(1214, "a-" * 500_000)).message) < 300


def test_no_balance_asks_for_the_plan() -> None:
    assert "Coding Plan" in refusal(429, coded(1113)).message


def test_a_piece_of_a_stream_may_hold_an_error() -> None:
    error = error_in({"error": {"code": "1261", "message": "Prompt is too long"}}, now=NOW)
    assert error is not None
    assert error.code == "context_length_exceeded"
    assert error_in({"id": "1", "choices": []}, now=NOW) is None
    assert error_in(["no object"], now=NOW) is None
