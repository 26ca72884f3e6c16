"""What is Redis's own; what every store promises is in test_contract.py, how it fails in test_faults.py."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lib.store import open_store
from lib.store.redis import MAX_CONNECTIONS, RedisError, RedisStore
from lib.store.redis_connection import MAX_ANSWER_BYTES
from lib.store.settings import RedisSettings
from tests.support.waiting import eventually
from tests.unit.store.faulty_line import Fault, faulty_line
from tests.unit.store.opening import settings_of
from tests.unit.store.redis_server import RedisServer, running_redis
from tests.unit.store.upstash_double import UpstashDouble

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(redis_server: RedisServer) -> AsyncIterator[RedisStore]:
    store = RedisStore(redis_settings(redis_server.url))
    yield store
    await store.close()


def redis_settings(url: str) -> RedisSettings:
    settings = settings_of(url)
    assert isinstance(settings, RedisSettings)
    return settings


@asynccontextmanager
async def opened(url: str, **options: ssl.SSLContext) -> AsyncIterator[RedisStore]:
    store = RedisStore(redis_settings(url), **options)
    try:
        yield store
    finally:
        await store.close()


async def test_an_entry_goes_by_itself_when_its_time_is_over(
    store: RedisStore, redis_server: RedisServer
) -> None:
    await store.put("key", "value", ttl_s=0.05)
    await store.add("other", "value", ttl_s=0.05)
    await store.put("kept", "value", ttl_s=60)
    await eventually(lambda: redis_server.call("DBSIZE") == 1)
    assert await store.get("key") is None
    assert await store.get("other") is None
    assert await store.get("kept") == "value"


async def test_one_database_is_the_same_store_reached_either_way(
    store: RedisStore, upstash: UpstashDouble
) -> None:
    rest = open_store(upstash.store)
    await store.put("智谱\ud800", "清言\ud800", ttl_s=60)
    assert await rest.get("智谱\ud800") == "清言\ud800"
    assert await rest.add("lease", "theirs", ttl_s=60) is True
    assert await store.add("lease", "mine", ttl_s=60) is False
    assert await store.put("lease", "mine", ttl_s=60, instead_of="theirs") is True
    assert await rest.remove("lease", "mine") is True
    await rest.close()


async def test_keys_are_hashed_and_under_a_prefix(store: RedisStore, redis_server: RedisServer) -> None:
    await store.put("lease:0a1b", "value", ttl_s=60)
    (name,) = redis_server.call("KEYS", "*")
    assert name.startswith(b"glm-gateway:")
    assert b"0a1b" not in name


async def test_what_somebody_else_wrote_there_is_absent(store: RedisStore, redis_server: RedisServer) -> None:
    await store.put("key", "value", ttl_s=60)
    (name,) = redis_server.call("KEYS", "*")
    redis_server.call("SET", name, "not base64!")
    assert await store.get("key") is None


# Connections


async def test_no_more_connections_are_open_than_small_plans_allow(
    store: RedisStore, redis_server: RedisServer
) -> None:
    await asyncio.gather(*(store.put(str(number), "value", ttl_s=60) for number in range(50)))
    assert 1 < redis_server.connections() <= MAX_CONNECTIONS
    await store.close()
    await eventually(lambda: redis_server.connections() == 0)


async def test_a_connection_that_was_closed_while_idle_costs_no_attempt(
    store: RedisStore, redis_server: RedisServer
) -> None:
    store.pauses_s = (0.0,)
    await asyncio.gather(*(store.put(str(number), "value", ttl_s=60) for number in range(5)))
    redis_server.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await eventually(lambda: redis_server.connections() == 0)
    await eventually(lambda: not any(each.is_open for each in store._kept))
    assert await store.get("1") == "value"


async def test_a_kept_connection_that_leads_nowhere_is_given_up_for_a_new_one(
    redis_server: RedisServer,
) -> None:
    async with faulty_line(redis_server.port) as line, opened(f"redis://127.0.0.1:{line.port}") as store:
        store.call_timeout_s, store.kept_timeout_s = 20.0, 0.2
        await asyncio.gather(*(store.put(str(number), "value", ttl_s=60) for number in range(5)))
        before = line.connections
        await line.break_(Fault.LOST, times=1)
        assert await store.get("1") == "value"
        assert line.connections == before + 1, "the others that were kept are not tried"


async def test_a_new_connection_has_all_the_time_there_is(redis_server: RedisServer) -> None:
    async with faulty_line(redis_server.port) as line, opened(f"redis://127.0.0.1:{line.port}") as store:
        store.call_timeout_s, store.kept_timeout_s = 0.3, 0.001
        await line.break_(Fault.LOST)
        with pytest.raises(RedisError, match=r"^GET: no answer within 0\.3 s$"):
            await store.get("key")
        assert line.connections <= 1


async def test_what_failed_before_it_was_asked_is_asked_as_it_was(redis_server: RedisServer) -> None:
    async with (
        opened(f"{redis_server.url}/1") as direct,
        faulty_line(redis_server.port) as line,
        opened(f"redis://127.0.0.1:{line.port}/1") as store,
    ):
        await direct.add("lease", "mine", ttl_s=60)
        await line.break_(Fault.DROPPED, times=1)  # at SELECT 1
        assert await store.add("lease", "mine", ttl_s=60) is False
        assert line.connections == 2


@pytest.mark.parametrize("path", ["", "/1"], ids=["asked", "connecting"])
async def test_who_gives_up_leaves_no_connection(redis_server: RedisServer, path: str) -> None:
    async with (
        faulty_line(redis_server.port) as line,
        opened(f"redis://127.0.0.1:{line.port}{path}") as store,
    ):
        await line.break_(Fault.LOST)
        store.call_timeout_s = 0.1
        with pytest.raises(RedisError):
            await store.get("key")
        await eventually(lambda: not line.is_carrying)


async def test_a_server_that_was_restarted_is_found_again(redis_program: Path, tmp_path: Path) -> None:
    with running_redis(redis_program, tmp_path) as server:
        async with opened(server.url) as store:
            await store.put("key", "value", ttl_s=60)
            server.stop()
            with pytest.raises(RedisError, match=r"^GET: ConnectionRefusedError, 3 times$"):
                await store.get("key")
            server.start()
            assert await store.get("key") is None
            assert await store.add("key", "value", ttl_s=60) is True


# What the URL says


async def test_a_database_of_the_url_is_apart_from_others(
    store: RedisStore, redis_server: RedisServer
) -> None:
    async with opened(f"{redis_server.url}/3") as third:
        await third.put("key", "value", ttl_s=60)
        assert await store.get("key") is None
        assert await third.get("key") == "value"
    async with opened(f"{redis_server.url}/99") as missing:
        with pytest.raises(RedisError, match=r"^GET: ERR$"):
            await missing.get("key")


PASSWORD = "p@ss/wörd#%?"
QUOTED = "p%40ss%2Fw%C3%B6rd%23%25%3F"


@pytest.fixture(scope="module")
def locked(redis_program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    folder = tmp_path_factory.mktemp("locked")
    with running_redis(redis_program, folder, "--requirepass", PASSWORD, password=PASSWORD) as server:
        server.call("ACL", "SETUSER", "reader", "on", f">{PASSWORD}", "~*", "+get")
        yield server


async def test_a_password_opens_and_a_user_may_do_what_it_may(locked: RedisServer) -> None:
    async with opened(f"redis://:{QUOTED}@127.0.0.1:{locked.port}/1") as store:
        assert await store.add("key", "value", ttl_s=60) is True
    async with opened(f"redis://default:{QUOTED}@127.0.0.1:{locked.port}") as store:
        await store.put("key", "value", ttl_s=60)
    async with opened(f"redis://reader:{QUOTED}@127.0.0.1:{locked.port}") as store:
        assert await store.get("key") == "value"
        with pytest.raises(RedisError, match=r"^SET: NOPERM$"):
            await store.put("key", "s3cret", ttl_s=60)
        assert await store.get("key") == "value"


@pytest.mark.parametrize(
    ("user", "code"), [("", "NOAUTH"), (":wr0ng@", "WRONGPASS"), ("wh0:x@", "WRONGPASS")]
)
async def test_a_missing_or_wrong_password_is_an_error_at_once(
    locked: RedisServer, user: str, code: str
) -> None:
    async with opened(f"redis://{user}127.0.0.1:{locked.port}") as store:
        for _ in range(2):
            with pytest.raises(RedisError, match=rf"^GET: {code}$"):
                await store.get("key")


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis://:s3cret@",
        "redis://:s3cr/et@host",
        "redis://:s3cret@host:port",
        "redis://:s3cret@host:99999",
        "redis://:s3cret@host/name",
        "rediss://:s3cret@host/0?ssl_cert_reqs=none",
        "redis://:s3cr#et@host",
        "redis://:s3cret@[::1",
        "redis://:s3cret@host/0#1",
    ],
)
def test_another_url_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(ValueError, match=r"must be redis\[s\]://") as caught:
        settings_of(url)
    assert "s3cr" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the certificate of a server on 127.0.0.1, signed by itself, with its key beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "redis")])
    today = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))])
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=30))
        .add_extension(address, critical=False)
    )
    path = tmp_path_factory.mktemp("tls") / "redis.pem"
    path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.with_suffix(".key").write_bytes(key.private_bytes(*pem))
    return path


@pytest.fixture(scope="module")
def encrypted(
    redis_program: Path, certificate: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Give the URL of a server that speaks TLS, at a port beside its other."""
    with running_redis(
        redis_program,
        tmp_path_factory.mktemp("encrypted"),
        *("--tls-cert-file", str(certificate), "--tls-key-file", str(certificate.with_suffix(".key"))),
        *("--tls-ca-cert-file", str(certificate), "--tls-auth-clients", "no"),
    ) as server:
        with asyncio.Runner() as runner:
            port = runner.run(_free_port())
        server.call("CONFIG", "SET", "tls-port", port)
        yield f"rediss://127.0.0.1:{port}"


async def _free_port() -> int:
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as server:
        return int(server.sockets[0].getsockname()[1])


async def test_rediss_is_encrypted(encrypted: str, certificate: Path) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with opened(encrypted, tls=trusting) as store:
        assert await store.add("key", "value", ttl_s=60) is True
        await asyncio.gather(*(store.put("key", "value", ttl_s=60) for _ in range(20)))


async def test_a_certificate_that_nobody_vouches_for_is_an_error(encrypted: str) -> None:
    async with opened(encrypted) as store:
        with pytest.raises(RedisError, match=r"^GET: SSLCertVerificationError, 3 times$"):
            await store.get("key")


async def test_redis_without_tls_where_the_server_wants_it_is_an_error(encrypted: str) -> None:
    async with opened(encrypted.replace("rediss", "redis")) as store:
        with pytest.raises(RedisError, match=r"^GET: \w+, 3 times$"):
            await store.get("key")


# What Redis refuses


async def test_a_full_server_refuses_to_write_and_still_reads(
    store: RedisStore, redis_server: RedisServer
) -> None:
    await store.put("key", "value", ttl_s=60)
    redis_server.call("CONFIG", "SET", "maxmemory", 1)
    try:
        with pytest.raises(RedisError, match=r"^SET: OOM$"):
            await store.put("key", "more", ttl_s=60)
        with pytest.raises(RedisError, match=r"^SET: OOM$"):
            await store.add("new", "value", ttl_s=60)
        with pytest.raises(RedisError, match=r"^EVAL: OOM$"):
            await store.put("key", "more", ttl_s=60, instead_of="value")
        assert await store.get("key") == "value"
        assert await store.remove("key", "value") is True
    finally:
        redis_server.call("CONFIG", "SET", "maxmemory", 0)
    assert await store.add("new", "value", ttl_s=60) is True


async def test_a_replica_may_only_be_read_until_it_is_the_master(
    store: RedisStore, redis_server: RedisServer
) -> None:
    await store.put("key", "value", ttl_s=60)
    redis_server.call("REPLICAOF", "127.0.0.1", 1)
    try:
        with pytest.raises(RedisError, match=r"^SET: READONLY, 3 times$"):
            await store.put("key", "more", ttl_s=60)
        with pytest.raises(RedisError, match=r"^EVAL: READONLY, 3 times$"):
            await store.put("key", "more", ttl_s=60, instead_of="value")
        assert await store.get("key") == "value"
    finally:
        redis_server.call("REPLICAOF", "NO", "ONE")
    assert await store.put("key", "more", ttl_s=60, instead_of="value") is True


async def test_a_server_that_misses_its_replicas_refuses_to_write(
    store: RedisStore, redis_server: RedisServer
) -> None:
    redis_server.call("CONFIG", "SET", "min-replicas-to-write", 1)
    try:
        with pytest.raises(RedisError, match=r"^SET: NOREPLICAS$"):
            await store.put("key", "value", ttl_s=60)
    finally:
        redis_server.call("CONFIG", "SET", "min-replicas-to-write", 0)
    await store.put("key", "value", ttl_s=60)


async def test_a_refusal_costs_no_connection(store: RedisStore, redis_server: RedisServer) -> None:
    await store.get("warm")
    before = redis_server.connections_ever()
    redis_server.call("CONFIG", "SET", "maxmemory", 1)
    try:
        for _ in range(5):
            with pytest.raises(RedisError):
                await store.put("key", "value", ttl_s=60)
        assert redis_server.connections_ever() == before
    finally:
        redis_server.call("CONFIG", "SET", "maxmemory", 0)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n<html>",
        b"-" + b"x" * 200_000,
        b"$abc\r\n",
        b"$5\r\nva",
        b"\xff\xfe\r\n",
        b"-LOADING Redis is loading the dataset in memory\r\n",
        b"-MOVED 3999 127.0.0.1:6381\r\n",
        b"-MOVED nonsense\r\n",
        b"*1\r\n$5\r\nvalue\r\n",
        b":5\r\n",
    ],
    ids=lambda answer: answer[:12].decode("latin-1").strip(),
)
async def test_a_server_that_answers_nonsense_is_an_error_or_an_absent_entry(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with opened(f"redis://127.0.0.1:{port}") as store:
            found = (await asyncio.gather(store.get("key"), return_exceptions=True))[0]
    assert found is None or (isinstance(found, RedisError) and len(str(found)) < 60)


def test_the_parser_is_imported_only_where_it_is_used_and_redis_py_never() -> None:
    program = (
        "import sys; from lib.store import open_store; from lib.store.settings import MemorySettings, "
        "RedisSettings; open_store(MemorySettings()); "
        "import lib.store.upstash; assert 'hiredis' not in sys.modules; "
        "open_store(RedisSettings(host='127.0.0.1')); assert 'hiredis' in sys.modules; "
        "assert 'redis' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


async def _answering(
    answer: bytes, commands: list[bytes], connections: list[object] | None = None
) -> asyncio.Server:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if connections is not None:
            connections.append(writer)
        while command := await reader.read(65536):
            commands.append(command)
            writer.write(answer)
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


async def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    entry = b"$%d\r\n%b" % (2 * MAX_ANSWER_BYTES, b"x" * (MAX_ANSWER_BYTES + 1))
    async with await _answering(entry, []) as server:
        port = server.sockets[0].getsockname()[1]
        async with opened(f"redis://127.0.0.1:{port}") as store:
            with pytest.raises(RedisError, match=r"^GET: ValueError, 3 times$"):
                await store.get("key")


async def test_an_answer_to_no_command_ends_its_connection() -> None:
    commands: list[bytes] = []
    connections: list[object] = []
    async with await _answering(b"$-1\r\n$-1\r\n", commands, connections) as server:
        port = server.sockets[0].getsockname()[1]
        async with opened(f"redis://127.0.0.1:{port}") as store:
            for number in (1, 2):
                assert await store.get("key") is None
                assert (len(connections), len(commands)) == (number, number)


async def test_the_user_and_the_database_take_one_round_trip() -> None:
    commands: list[bytes] = []
    async with await _answering(b"+OK\r\n+OK\r\n", commands) as server:
        port = server.sockets[0].getsockname()[1]
        async with opened(f"redis://user:word@127.0.0.1:{port}/2") as store:
            assert await store.get("key") is None
    first, second = commands
    assert first == b"*3\r\n$4\r\nAUTH\r\n$4\r\nuser\r\n$4\r\nword\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n2\r\n"
    assert second.startswith(b"*2\r\n$3\r\nGET\r\n")


@pytest.mark.parametrize(
    ("refusal", "word"), [("ERR max number of clients reached", "FULL"), ("LOADING the dataset", "LOADING")]
)
async def test_a_refusal_that_may_pass_is_asked_about_again(refusal: str, word: str) -> None:
    commands: list[bytes] = []
    async with await _answering(f"-{refusal}\r\n".encode(), commands) as server:
        port = server.sockets[0].getsockname()[1]
        async with opened(f"redis://127.0.0.1:{port}") as store:
            with pytest.raises(RedisError, match=rf"^GET: {word}, 3 times$"):
                await store.get("key")
    assert len(commands) == 3


@pytest.mark.parametrize("path", ["", "/1"], ids=["asked", "connecting"])
async def test_no_turn_is_a_bad_one_to_be_cancelled_at(redis_server: RedisServer, path: str) -> None:
    for turn in range(30):
        async with opened(f"{redis_server.url}{path}") as store:
            asking = asyncio.ensure_future(store.get("key"))
            for _ in range(turn):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait({asking})
            await asyncio.gather(*(store.get("key") for _ in range(2 * MAX_CONNECTIONS)))
            assert len(store._kept) <= MAX_CONNECTIONS
        await eventually(lambda: redis_server.connections() == 0)
