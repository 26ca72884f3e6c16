from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from lib import settings as settings_module
from lib.errors import ConfigurationError
from lib.settings import MIB, Settings, current
from lib.store.settings import (
    DynamoSettings,
    MemorySettings,
    RedisSettings,
    SqliteSettings,
    StoreSettings,
    UpstashSettings,
    read_store_settings,
)

ROOT = Path(__file__).parents[2]
OFFICIAL = f"{'0' * 32}.{'a' * 16}"


def read(**environ: str) -> Settings:
    return Settings.from_env(environ)


def mistakes(**environ: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env(environ)
    return caught.value.message


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    settings = read()
    assert settings == Settings()
    assert settings.refresh_tokens == settings.api_keys == settings.fetch_allow_hosts == ()
    assert settings.allow_passthrough is True
    assert settings.base_url == "https://chatglm.cn/chatglm"
    assert settings.sign_secret == "8a1317a7468aa3ad86e997d08f3f31cb"
    assert settings.app_version == "0.0.1"
    assert settings.user_agent.startswith("Mozilla/5.0 ")
    assert settings.assistant_id == "65940acff94777010aa6b796"
    assert settings.drawing_assistant_id == "65a232c082ff90a2ad2f15e2"
    assert settings.default_model == "glm-5.3-flash"
    assert settings.web_search is False
    assert (settings.official_keys, settings.fallback_model) == ((), None)
    assert settings.official_base_url == "https://open.bigmodel.cn/api/paas/v4"
    assert settings.official_default_model == "glm-4.5-flash"
    assert settings.store == MemorySettings()
    assert settings.max_duration_s is None
    assert settings.on_lambda is False
    assert (settings.connect_timeout_s, settings.first_content_timeout_s) == (10, 60)
    assert (settings.idle_timeout_s, settings.heartbeat_s, settings.account_wait_s) == (120, 15, 30)
    assert (settings.max_body_bytes, settings.max_file_bytes) == (32 * MIB, 100 * MIB)
    assert settings.capture_dir is None
    assert settings.log_level == "INFO"


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("CHATGLM_REFRESH_TOKENS", " a.b.c, d.e.f ,,", "refresh_tokens", ("a.b.c", "d.e.f")),
        ("API_KEYS", "sk-1,sk-2", "api_keys", ("sk-1", "sk-2")),
        ("ALLOW_PASSTHROUGH", "off", "allow_passthrough", False),
        ("ALLOW_PASSTHROUGH", "TRUE", "allow_passthrough", True),
        ("CHATGLM_BASE_URL", "http://127.0.0.1:9/chatglm/", "base_url", "http://127.0.0.1:9/chatglm"),
        ("CHATGLM_SIGN_SECRET", "s3cret", "sign_secret", "s3cret"),
        ("CHATGLM_APP_VERSION", "0.0.2", "app_version", "0.0.2"),
        ("CHATGLM_USER_AGENT", "Mozilla/6.0", "user_agent", "Mozilla/6.0"),
        ("CHATGLM_ASSISTANT_ID", "a" * 24, "assistant_id", "a" * 24),
        ("CHATGLM_DRAWING_ASSISTANT_ID", "b" * 24, "drawing_assistant_id", "b" * 24),
        ("CHATGLM_DEFAULT_MODEL", "glm-6", "default_model", "glm-6"),
        ("CHATGLM_WEB_SEARCH", "yes", "web_search", True),
        ("GLM_API_KEYS", f" {OFFICIAL}, k.2,{OFFICIAL}", "official_keys", (OFFICIAL, "k.2")),
        (
            "GLM_API_BASE_URL",
            "https://api.z.ai/api/paas/v4/",
            "official_base_url",
            "https://api.z.ai/api/paas/v4",
        ),
        ("GLM_API_DEFAULT_MODEL", "glm-4.6", "official_default_model", "glm-4.6"),
        ("GLM_API_DEFAULT_MODEL", "GLM-4.6", "official_default_model", "glm-4.6"),
        ("GLM_API_DEFAULT_MODEL", "API/ glm-4.6", "official_default_model", "glm-4.6"),
        ("FALLBACK_MODEL", "api/glm-4.5-flash", "fallback_model", "glm-4.5-flash"),
        ("FALLBACK_MODEL", " Api/GLM-4.5-Flash ", "fallback_model", "glm-4.5-flash"),
        ("TOOL_SYNTAX", "DSML", "tool_syntax", "dsml"),
        ("STORE_URL", "sqlite:////var/lib/glm.db", "store", SqliteSettings("/var/lib/glm.db")),
        ("STORE_SECRET", "sixteen letters!", "store_secret", "sixteen letters!"),
        ("MAX_DURATION_S", "60", "max_duration_s", 60.0),
        ("CONNECT_TIMEOUT_S", "2.5", "connect_timeout_s", 2.5),
        ("FIRST_CONTENT_TIMEOUT_S", "90", "first_content_timeout_s", 90.0),
        ("IDLE_TIMEOUT_S", "0.5", "idle_timeout_s", 0.5),
        ("HEARTBEAT_S", "5", "heartbeat_s", 5.0),
        ("ACCOUNT_WAIT_S", "0", "account_wait_s", 0.0),
        ("MAX_BODY_BYTES", "1048576", "max_body_bytes", MIB),
        ("MAX_FILE_BYTES", "1", "max_file_bytes", 1),
        ("FETCH_ALLOW_HOSTS", "nas.lan:8080,10.0.0.2", "fetch_allow_hosts", ("nas.lan:8080", "10.0.0.2")),
        ("CAPTURE_DIR", "/tmp/captures", "capture_dir", "/tmp/captures"),
        ("LOG_LEVEL", "debug", "log_level", "DEBUG"),
        ("LOG_FORMAT", "Text", "log_format", "text"),
    ],
)
def test_every_setting_is_read_from_its_name(name: str, text: str, field: str, value: Any) -> None:
    assert getattr(Settings.from_env({name: text}), field) == value
    assert getattr(Settings.from_env({name: "  "}), field) == getattr(Settings(), field), "blank is unset"


def test_no_setting_is_left_out_of_the_table_above() -> None:
    table = test_every_setting_is_read_from_its_name.pytestmark[0].args[1]
    assert {row[0] for row in table} == {name for name, _ in settings_module._FIELDS.values()} | {"STORE_URL"}


def test_all_mistakes_are_told_at_once() -> None:
    wrong = {
        "ALLOW_PASSTHROUGH": "maybe",
        "CHATGLM_BASE_URL": "chatglm.cn",
        "CHATGLM_SIGN_SECRET": "geheim\u00fc",
        "STORE_URL": "postgres://x",
        "MAX_DURATION_S": "5 minutes",
        "CONNECT_TIMEOUT_S": "0",
        "IDLE_TIMEOUT_S": "-1",
        "HEARTBEAT_S": "nan",
        "ACCOUNT_WAIT_S": "inf",
        "MAX_BODY_BYTES": "32MB",
        "MAX_FILE_BYTES": "0",
        "LOG_LEVEL": "loud",
        "CHATGLM_WEB_SEARCH": "2",
        "TOOL_SYNTAX": "xml",
        "GLM_API_KEYS": "eyJhbGciOi.eyJleHAiOi.c2ln",
        "GLM_API_BASE_URL": "open.bigmodel.cn",
        "GLM_API_DEFAULT_MODEL": "glm\u00fc",
        "FALLBACK_MODEL": "glm\u00fc",
    }
    message = mistakes(**wrong)
    for name in wrong:
        assert len(re.findall(rf"\b{name} must ", message)) == 1, name


def test_the_owners_wait_for_the_first_content_holds_for_hard_thoughts_too() -> None:
    assert read().thinking_timeout_s == 600
    for text in ("20", "900"):
        settings = read(FIRST_CONTENT_TIMEOUT_S=text)
        assert settings.first_content_timeout_s == settings.thinking_timeout_s == float(text)


def test_a_prefix_without_a_model_is_a_mistake() -> None:
    assert "FALLBACK_MODEL must be the name of a model" in mistakes(FALLBACK_MODEL="api/")


ACCEPT_ANYTHING = {"CHATGLM_REFRESH_TOKENS", "FETCH_ALLOW_HOSTS", "CAPTURE_DIR", "STORE_SECRET"}


def test_a_short_secret_of_the_store_is_refused_and_not_repeated() -> None:
    message = mistakes(STORE_SECRET="hunter2")
    assert "STORE_SECRET must have 16 characters or more" in message
    assert "hunter2" not in message
    assert "hunter2" not in repr(read(STORE_SECRET="hunter2hunter2hunter2"))


@pytest.mark.parametrize(
    "name", sorted({name for name, _ in settings_module._FIELDS.values()} - ACCEPT_ANYTHING)
)
def test_no_wrong_value_is_repeated_for_it_may_be_a_key_in_the_wrong_place(name: str) -> None:
    message = mistakes(**{name: "sha256-hunter2\n:pass@host"})
    assert name in message
    assert "hunter2" not in message


@pytest.mark.parametrize("name", ["HEARTBEAT_S", "ACCOUNT_WAIT_S", "MAX_BODY_BYTES", "CHATGLM_WEB_SEARCH"])
def test_nor_is_a_number_that_is_wrong(name: str) -> None:
    assert "987" not in mistakes(**{name: "-987.6"})


def test_secrets_are_in_no_representation() -> None:
    settings = read(
        CHATGLM_REFRESH_TOKENS="tok.en.one",
        API_KEYS="sk-hidden",
        CHATGLM_SIGN_SECRET="s1gn",
        STORE_URL="sqlite:////home/someone/x.db",
    )
    for text in (repr(settings), str(settings), f"{settings}", "%r" % (settings,)):  # noqa: UP031
        assert text == "Settings(accounts=1, official_keys=0, api_keys=1, …)"


DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize("entry", [f"sha256:{DIGEST}", f"sha256:{DIGEST.upper()}"])
def test_a_key_may_be_given_as_its_hash(entry: str) -> None:
    assert Settings.from_env({"API_KEYS": f"sk-1, {entry}"}).api_keys == ("sk-1", entry)


@pytest.mark.parametrize(
    "entry",
    [
        "sha256:",
        f"sha256:{DIGEST[1:]}",
        f"sha256:{DIGEST}0",
        f"sha256:{DIGEST[1:]}g",
        f"sha256: {DIGEST}",
        f"SHA256:{DIGEST}",
        f"sha256={DIGEST}",
        f"sha256-{DIGEST}",
        DIGEST.join(("sha256(stdin)= ", "")),
    ],
)
def test_a_hash_with_a_mistake_in_it_is_a_mistake_and_no_clear_key(entry: str) -> None:
    with pytest.raises(ConfigurationError, match=r"API_KEYS must hold keys.*; entry 2 is neither") as caught:
        Settings.from_env({"API_KEYS": f"sk-1,{entry},sk-2"})
    assert DIGEST[:9] not in caught.value.message
    assert "sk-" not in caught.value.message


def test_without_api_keys_callers_may_bring_their_own_tokens() -> None:
    assert read().allow_passthrough is True
    for name in ("API_KEYS", "CHATGLM_REFRESH_TOKENS", "GLM_API_KEYS"):
        assert read(**{name: "a.b.c"}).allow_passthrough is False, name
        assert read(**{name: " "}).allow_passthrough is True, name
    assert read(API_KEYS="sk", ALLOW_PASSTHROUGH="true").allow_passthrough is True


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://localhost", RedisSettings(host="localhost")),
        ("redis://127.0.0.1:6379/0", RedisSettings(host="127.0.0.1")),
        (
            "redis://:p%40ss@redis.internal:6380/15",
            RedisSettings(host="redis.internal", port=6380, database=15, password="p@ss"),
        ),
        (
            "rediss://default:t0ken@eu1-x.upstash.io:6379/",
            RedisSettings(host="eu1-x.upstash.io", username="default", password="t0ken", is_encrypted=True),
        ),
        ("redis://[::1]:6379", RedisSettings(host="::1")),
        (
            "redis://user:with:colons@host",
            RedisSettings(host="host", username="user", password="with:colons"),
        ),
    ],
)
def test_a_redis_is_named_by_its_usual_url(url: str, expected: RedisSettings) -> None:
    assert read(STORE_URL=url).store == expected


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis:///0",
        "redis://:s3cret@",
        "redis://:s3cr/et@host",
        "redis://:s3cr#et@host",
        "redis://:s3cr?et@host",
        "redis://:s3cret@host:65536",
        "redis://:s3cret@host:port",
        "redis://:s3cret@host/name",
        "rediss://:s3cret@host/0?ssl_cert_reqs=none",
        "redis://:s3cret@host one",
        "redis://:s3cret@[::1",
        "redis:s3cret",
    ],
)
def test_another_redis_url_is_a_mistake_that_does_not_repeat_it(url: str) -> None:
    message = mistakes(STORE_URL=url)
    assert "redis" in message
    assert "s3cr" not in message


@pytest.mark.parametrize(
    ("url", "token"),
    [("kv.example", "t"), ("ftp://kv.example", "t"), ("https://", "t"), ("https://kv", "tü")],
)
def test_an_integration_s_address_that_is_none_is_a_mistake(url: str, token: str) -> None:
    message = mistakes(KV_REST_API_URL=url, KV_REST_API_TOKEN=token)
    assert "KV_REST_API_URL must be an https:// URL, and KV_REST_API_TOKEN must be ASCII" in message


def test_hosts_tell_how_long_a_request_may_take() -> None:
    assert read(VERCEL="1").max_duration_s == 300
    assert read(VERCEL="1", MAX_DURATION_S="800").max_duration_s == 800
    assert read(AWS_LAMBDA_FUNCTION_NAME="glm").on_lambda is True
    assert read(AWS_LAMBDA_FUNCTION_NAME="glm").max_duration_s is None


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"CHATGLM_REFRESH_TOKENS": "a.b.c"}, "without API_KEYS"),
        ({"API_KEYS": "sk"}, "without CHATGLM_REFRESH_TOKENS"),
        ({"ALLOW_PASSTHROUGH": "false"}, "no request can succeed"),
        ({}, "memory://"),
    ],
)
def test_a_gap_is_told_in_a_sentence(environ: dict[str, str], said: str) -> None:
    assert sum(said in gap for gap in Settings.from_env(environ).gaps()) == 1


KEY = "sk-0123456789abcdef"
REFRESH, ACCESS = (
    f"eyJh.{claims}.c2ln" for claims in ("eyJ0eXBlIjoicmVmcmVzaCJ9", "eyJ0eXBlIjoiYWNjZXNzIn0")
)
COMPLETE = {"CHATGLM_REFRESH_TOKENS": REFRESH, "API_KEYS": KEY, "STORE_URL": "sqlite:///x.db"}


def test_a_complete_configuration_has_no_gaps() -> None:
    assert Settings.from_env(COMPLETE).gaps() == []
    assert read(**COMPLETE | {"API_KEYS": f"sha256:{DIGEST}"}).gaps() == []


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (
            {"CHATGLM_REFRESH_TOKENS": f"{REFRESH},{ACCESS}"},
            "Entry 2 of CHATGLM_REFRESH_TOKENS is an access token",
        ),
        ({"CHATGLM_REFRESH_TOKENS": "rubbish"}, "Entry 1 of CHATGLM_REFRESH_TOKENS is not a refresh token"),
        ({"CHATGLM_REFRESH_TOKENS": "a.b.c"}, "Entry 1 of CHATGLM_REFRESH_TOKENS is not a refresh token"),
        ({"API_KEYS": f"{KEY},sk-short"}, "Entry 2 of API_KEYS has fewer than 16 characters"),
        ({"CHATGLM_REFRESH_TOKENS": f"'{REFRESH}'"}, "Entry 1 of CHATGLM_REFRESH_TOKENS begins with a quot"),
        ({"CHATGLM_REFRESH_TOKENS": f"x={REFRESH}; y=1"}, "Entry 1 of CHATGLM_REFRESH_TOKENS is not a refr"),
        ({"API_KEYS": f'"{KEY}"'}, "Entry 1 of API_KEYS begins with a quotation mark"),
    ],
)
def test_an_entry_of_the_wrong_form_is_named_by_its_place_and_never_by_its_value(
    environ: dict[str, str], said: str
) -> None:
    [gap] = read(**COMPLETE | environ).gaps()
    assert gap.startswith(said)
    assert not any(value in gap for entries in environ.values() for value in entries.split(","))


def test_the_demos_own_key_may_be_short() -> None:
    assert read(**COMPLETE, CHATGLM_BASE_URL="http://127.0.0.1:1/x").gaps() == []
    demo = {"API_KEYS": "sk-demo", "CHATGLM_BASE_URL": "http://127.0.0.1:1/x"}
    assert read(**COMPLETE | demo).gaps() == []


def test_a_gateway_that_waits_for_its_first_account_has_no_gap() -> None:
    """The owner adds one at run time."""
    waiting = {"API_KEYS": KEY, "STORE_URL": "sqlite:///x.db"}
    assert Settings.from_env(waiting).gaps() == []


def test_an_open_gateway_says_that_anybody_may_use_it() -> None:
    assert "anybody may use this gateway" in read().openness()[0]
    assert read(API_KEYS="sk").openness() == []


def test_the_current_settings_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTBEAT_S", "3")
    first = current()
    assert first.heartbeat_s == 3
    assert current() is first, "parsed once"
    monkeypatch.setenv("HEARTBEAT_S", "4")
    assert current().heartbeat_s == 4
    monkeypatch.setenv("HEARTBEAT_S", "x")
    for _ in range(2):
        with pytest.raises(ConfigurationError):
            current()


@pytest.mark.parametrize(
    "names",
    [("KV_REST_API_URL", "KV_REST_API_TOKEN"), ("UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN")],
)
def test_upstash_is_chosen_by_itself_where_its_integration_is(names: tuple[str, str]) -> None:
    found = dict(zip(names, ("https://kv.example/", "a/b=="), strict=True))
    assert Settings.from_env(found).store == UpstashSettings("https://kv.example/", "a/b==")
    assert Settings.from_env({**found, "STORE_URL": "upstash://"}).store == UpstashSettings(
        "https://kv.example/", "a/b=="
    )
    assert Settings.from_env({**found, "STORE_URL": "memory://"}).store == MemorySettings()
    assert Settings.from_env({names[0]: "https://kv.example"}).store == MemorySettings()


def test_upstash_without_its_token_is_a_mistake() -> None:
    with pytest.raises(ConfigurationError, match="KV_REST_API_TOKEN"):
        Settings.from_env({"STORE_URL": "upstash://"})


def test_an_upstash_on_this_machine_is_spoken_to_without_tls() -> None:
    found = {"KV_REST_API_URL": "http://127.0.0.1:8079", "KV_REST_API_TOKEN": "t"}
    assert Settings.from_env(found).store == UpstashSettings("http://127.0.0.1:8079/", "t")


SECRET = "s3cret"


@pytest.mark.parametrize(
    ("store", "scheme"),
    [
        (RedisSettings(host="host", username="u", password=SECRET), "redis"),
        (RedisSettings(host="host", password=SECRET, is_encrypted=True), "rediss"),
        (UpstashSettings("https://kv.example", SECRET), "upstash"),
        (DynamoSettings(table="t", region="r", key_id="k", secret=SECRET, session_token=SECRET), "dynamodb"),
    ],
)
def test_a_store_outside_shows_its_scheme_and_no_secret(store: StoreSettings, scheme: str) -> None:
    assert store.scheme == scheme
    for text in (repr(store), str(store), repr(Settings(store=store)), repr([store])):
        assert SECRET not in text
    assert not store.is_local


@pytest.mark.parametrize(
    "url", ["etcd://user:s3cret@host", "memory", "sqlite:/s3cret", "s3cret", "upstash://:s3cret@kv.example"]
)
def test_an_unknown_store_is_refused_with_the_stores_there_are(url: str) -> None:
    with pytest.raises(ValueError, match="must be memory:// or one of sqlite:///path, redis") as caught:
        read_store_settings({"STORE_URL": url})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "store"),
    [
        ("memory://", MemorySettings()),
        ("sqlite:///state.db", SqliteSettings("state.db")),
        ("sqlite:////var/%20/state.db", SqliteSettings("/var/%20/state.db")),
    ],
)
def test_a_store_of_this_machine_is_named_by_its_url(url: str, store: StoreSettings) -> None:
    assert read_store_settings({"STORE_URL": url}) == store
    assert store.is_local
    assert url.startswith(f"{store.scheme}://")


@pytest.mark.parametrize(
    ("base", "reason"),
    [
        ("https://open.bigmodel.cn/api/coding/paas/v4", "the Coding Plan"),
        ("https://api.z.ai/api/Coding/paas/v4/", "the Coding Plan"),
        ("https://api.z.ai/api/%63oding/paas/v4", "the Coding Plan"),
        ("https://api.z.ai/api/anthropic", "Anthropic's format"),
    ],
)
def test_a_base_that_is_not_for_gateways_is_refused_with_the_reason(base: str, reason: str) -> None:
    message = mistakes(GLM_API_BASE_URL=base)
    assert "GLM_API_BASE_URL must not be" in message
    assert reason in message


@pytest.mark.parametrize("url", ["api.z.ai/api", "https://", "https:///api", "http://?x", "ftp://host"])
@pytest.mark.parametrize("name", ["GLM_API_BASE_URL", "CHATGLM_BASE_URL"])
def test_an_address_has_a_host(name: str, url: str) -> None:
    assert f"{name} must begin with http:// or https:// and a host" in mistakes(**{name: url})


def test_keys_of_the_official_api_need_api_keys_and_can_stand_alone_with_them() -> None:
    def notes(**environ: str) -> list[str]:
        return read(STORE_URL="sqlite:////tmp/x.db", **environ).gaps()

    (note,) = notes(GLM_API_KEYS=OFFICIAL)
    assert "GLM_API_KEYS is set without API_KEYS" in note
    assert notes(GLM_API_KEYS=OFFICIAL, API_KEYS="sk-a-long-and-random-key-of-the-owners") == []
    (note,) = notes(API_KEYS="sk-a-long-and-random-key-of-the-owners", FALLBACK_MODEL="x")
    assert "FALLBACK_MODEL is set without GLM_API_KEYS" in note
