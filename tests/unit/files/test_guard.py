"""Nobody makes the gateway connect to what is not public: asserted at the sockets of this process."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from lib.errors import InvalidRequest
from lib.files.addresses import is_public, read_address
from lib.files.fetcher import Fetcher, FetchLimits, Resolve
from tests.support.files import FileServer, head
from tests.unit.files.connections import watched_connections

PUBLIC = "93.184.216.34"
PUBLIC_6 = "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
LIMITS = FetchLimits(connect_s=2, idle_s=2)

# What a host may be written as; the port of a listener on this machine is put behind it.
HOSTS = [
    # this machine
    "127.0.0.1", "127.0.0.2", "127.1", "127.0.1", "127.255.255.254", "localhost", "LOCALHOST", "localhost.",
    "0.0.0.0", "0", "0.0", "0.1.2.3", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[0000::0001]",
    # other notations of it: decimal, octal, hexadecimal, mixed, overflowing, with other dots and digits
    "2130706433", "0x7f000001", "0x7F.0x0.0x0.0x1", "0x7f.1", "0177.1", "017700000001", "0177.0.0.1",
    "0x7f.0.1", "127.0x1", "00000177.1", "4294967297", "127。0。0。1", "127．0．0．1", "①②⑦.⓪.⓪.①",
    "１２７.０.０.１", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "ｌocalhost", "%31%32%37.0.0.1", "127%2e0%2e0%2e1",
    "127.0.0.1%00.example.org",
    # v4 within v6
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:7f00:0001]", "[::ffff:0:127.0.0.1]",
    "[::127.0.0.1]", "[::7f00:1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]", "[2002:a9fe:a9fe::1]", "[2001:0:7f00:1::]", "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
    "[2606:2800:21f:cb07:0:5efe:127.0.0.1]", "[2606:2800:21f:cb07:200:5efe:7f00:1]", "[::ffff:0.0.0.0]",
    # zones
    "[::1%25lo]", "[fe80::1%25eth0]", "[fe80::1%251]", "[::1%lo]",
    # networks of one's own, of carriers, of documentation, of nobody
    "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.1.254",
    "100.64.0.1", "100.127.255.255", "192.0.0.1", "192.0.0.8", "192.0.2.1", "192.88.99.1",
    "198.18.0.1", "198.19.255.255",
    "198.51.100.7", "203.0.113.7", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "0xa.0.0.1", "012.0.0.1", "167772161", "3232235777", "[fc00::1]", "[fd12:3456:789a::1]", "[fe80::1]",
    "[fec0::1]", "[ff02::1]", "[100::1]", "[2001:db8::1]", "[2001:20::1]", "[3fff::1]", "[5f00::1]",
    "[4000::1]", "[::ffff:10.0.0.1]", "[::ffff:192.168.1.1]", "[::ffff:a00:1]",
    # metadata of the clouds
    "169.254.169.254", "169.254.170.2", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376", "169.254.43518",
    "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[fd00:ec2::254]", "[fd20:ce::254]",
    "100.100.100.200",
    "192.0.0.192", "168.63.129.16",
]  # fmt: skip

# What confuses two parsers about which part is the host; PORT is the listener's.
ADDRESSES = [
    "http://user@127.0.0.1:PORT/", "http://user:word@127.0.0.1:PORT/", "http://@127.0.0.1:PORT/",
    "http://example.org@127.0.0.1:PORT/", "http://127.0.0.1:PORT\\@example.org/",
    "http://example.org:80@127.0.0.1:PORT/", "http://127.0.0.1:PORT#@example.org/",
    "http://127.0.0.1:PORT?@example.org/", "http://127.0.0.1:PORT/@example.org",
    "http://1.1.1.1 &@127.0.0.1:PORT# @3.3.3.3/", "HTTP://127.0.0.1:PORT/", "hTTps://127.0.0.1:PORT/",
    "https://127.0.0.1:PORT/", "http:127.0.0.1:PORT/", "http:/127.0.0.1:PORT/", "http:///127.0.0.1:PORT/",
    "//127.0.0.1:PORT/", "127.0.0.1:PORT/", "http://127.0.0.1:PORT:80/", "http://127.0.0.1\t:PORT/",
    "http://127.0.0.1\n:PORT/", " http://127.0.0.1:PORT/", "http:\\\\127.0.0.1:PORT\\",
    "http://[::ffff:127.0.0.1]:PORT/", "http://[127.0.0.1]:PORT/", "http://127.0.0.1.:PORT/",
    "file:///etc/passwd", "file://127.0.0.1/etc/passwd", "ftp://127.0.0.1:PORT/x", "gopher://127.0.0.1:PORT/_x",
    "dict://127.0.0.1:PORT/", "unix:///var/run/docker.sock", "http+unix://%2Fvar%2Frun%2Fdocker.sock/x",
    "ws://127.0.0.1:PORT/", "jar:http://127.0.0.1:PORT/!/", "view-source:http://127.0.0.1:PORT/",
    "javascript:fetch('http://127.0.0.1:PORT/')", "blob:http://127.0.0.1:PORT/x", "about:blank", "", "x", "http://",
    "http://xn--/", "http://" + "a" * 70 + ".example/", "http://" + "a" * 70_000,
]  # fmt: skip

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def bait() -> Iterator[int]:
    """Give the port of a listener on every v4 address of this machine, that nobody must come to."""
    with socket.create_server(("0.0.0.0", 0)) as v4:
        port: int = v4.getsockname()[1]
        v4.setblocking(False)
        yield port
        with pytest.raises(BlockingIOError):
            v4.accept()


def fetcher(*allow_hosts: str, **options: Any) -> Fetcher:
    return Fetcher(allow_hosts=allow_hosts, limits=LIMITS, **options)


async def refuse(url: str, fetcher: Fetcher) -> list[Any]:
    """Fetch what must be refused; return the connections that were opened for it."""
    with watched_connections() as connections:
        with pytest.raises(InvalidRequest) as refused:
            async with fetcher.fetch(url, max_bytes=1000):
                pass
        await fetcher.aclose()
    assert refused.value.code == "invalid_file"
    assert refused.value.status == 400
    return connections


def resolving(**names: Iterable[str]) -> Resolve:
    """Resolve `a_example` as a.example, to the next of its answers each time it is asked for."""
    answers = {name.replace("_", "."): iter(found) for name, found in names.items()}

    async def resolve(host: str, port: int) -> list[str]:
        return next(answers[host]).split()

    return resolve


def test_the_corpus_is_large_enough_and_says_nothing_twice() -> None:
    assert len(set(HOSTS)) == len(HOSTS) >= 60
    assert len(set(ADDRESSES)) == len(ADDRESSES)


@pytest.mark.parametrize("host", HOSTS)
async def test_no_spelling_of_a_private_host_is_connected_to(host: str, bait: int) -> None:
    assert await refuse(f"http://{host}:{bait}/secret", fetcher()) == []


@pytest.mark.parametrize("url", ADDRESSES)
async def test_no_confusing_address_is_connected_to(url: str, bait: int) -> None:
    assert await refuse(url.replace("PORT", str(bait)), fetcher()) == []


@pytest.mark.parametrize("host", HOSTS)
async def test_no_redirect_leads_to_a_private_host(host: str, bait: int, files: FileServer) -> None:
    try:
        url = files.redirect("/", f"http://{host}:{bait}/secret")
    except UnicodeEncodeError:
        url = files.answer("/", f"HTTP/1.1 302 Found\r\nLocation: http://{host}:{bait}/\r\n\r\n".encode())
    assert await refuse(url, fetcher(files.host)) == [("127.0.0.1", files.port)]


@pytest.fixture(scope="module")
def files() -> Iterator[FileServer]:
    with FileServer() as server:
        yield server


@pytest.mark.parametrize(
    "location", ["", "file:///etc/passwd", "//169.254.169.254/", "http://u:p@1.1.1.1/", "ftp://x/"]
)
async def test_a_redirect_is_held_to_the_same_rules(location: str, files: FileServer) -> None:
    url = files.redirect("/to", location)
    assert await refuse(url, fetcher(files.host)) == [("127.0.0.1", files.port)]


@pytest.mark.parametrize("status", ["301 x", "302 x", "303 x", "307 x", "308 x"])
async def test_redirects_are_followed_and_nothing_is_carried_along(status: str, files: FileServer) -> None:
    files.requests.clear()
    files.serve("/a", b"", "location: /b?c#d", "set-cookie: name=secret", status=status)
    files.serve("/b?c", b"here")
    async with fetcher(files.host).fetch(files.url + "/a#x", max_bytes=10) as file:
        assert file.file.read() == b"here"
    assert files.paths == ["/a", "/b?c"]
    asked = files.requests[1].lower()
    assert "cookie" not in asked
    assert "authorization" not in asked
    assert "referer" not in asked
    assert "accept-encoding: identity" in asked


async def test_a_redirect_loop_ends(files: FileServer) -> None:
    url = files.redirect("/loop", "/loop")
    assert len(await refuse(url, fetcher(files.host))) == LIMITS.max_redirects + 1


@pytest.mark.parametrize(
    "answer", [f"{PUBLIC} 127.0.0.1", f"10.0.0.1 {PUBLIC}", f"{PUBLIC_6} ::1", "", "junk"]
)
async def test_a_host_with_any_address_that_is_not_public_is_refused(answer: str) -> None:
    assert await refuse("http://a.example/", fetcher(resolve=resolving(a_example=[answer]))) == []


async def test_a_name_that_changes_its_mind_is_connected_to_where_it_was_checked() -> None:
    """DNS rebinding: the second answer, which a second look-up would get, is never asked for."""
    resolve = resolving(a_example=[PUBLIC, "127.0.0.1"])
    connections = await refuse("http://a.example:81/", fetcher(resolve=resolve))
    assert connections == [(PUBLIC, 81)]


async def test_a_name_that_changes_its_mind_between_redirects_is_checked_again(files: FileServer) -> None:
    url = files.redirect("/twice", f"http://a.example:{files.port}/twice")
    resolve = resolving(a_example=["127.0.0.1", "127.0.0.1"])
    # The second time it comes without the port that was allowed.
    files.redirect("/twice", "http://a.example/")
    connections = await refuse(
        url.replace("127.0.0.1", "a.example"), fetcher(f"a.example:{files.port}", resolve=resolve)
    )
    assert connections == [("127.0.0.1", files.port)]


async def test_each_address_is_tried_families_in_turn() -> None:
    resolve = resolving(
        a_example=[f"{PUBLIC_6} {PUBLIC_6[:-1]}d {PUBLIC} {PUBLIC} 93.184.216.35 93.184.216.36"]
    )
    connections = await refuse("https://a.example/", fetcher(resolve=resolve))
    assert connections == [(PUBLIC_6, 443), (PUBLIC, 443), (PUBLIC_6[:-1] + "d", 443), ("93.184.216.35", 443)]


@pytest.mark.parametrize(
    ("entry", "url", "is_allowed"),
    [
        ("files.example:81", "http://files.example:81/", True),
        ("FILES.example:81", "http://files.EXAMPLE:81/", True),
        ("files.example", "http://files.example/", True),
        ("files.example:80", "http://files.example/", True),
        ("files.example", "https://files.example/", True),
        ("files.example", "http://files.example:80/", True),
        ("files.example", "http://files.example:81/", False),
        ("files.example:82", "http://files.example:81/", False),
        ("files.example:80", "https://files.example/", False),
        ("example", "http://files.example/", False),
        ("files.example", "http://files.example.org/", False),
        ("[::1]:81", "http://[::1]:81/", True),
        ("127.0.0.1:81", "http://[::1]:81/", False),
    ],
)
async def test_a_host_is_exempt_by_name_and_port(entry: str, url: str, is_allowed: bool) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["10.0.0.1"]

    assert bool(await refuse(url, fetcher(entry, resolve=resolve))) is is_allowed


async def test_no_connection_is_used_again_perhaps_for_another_name(files: FileServer) -> None:
    def answer_and_stay(connection: socket.socket) -> None:
        connection.sendall(head("200 OK", "content-length: 1", "connection: keep-alive") + b"x")
        files.wait_for_close(connection)

    one = fetcher(files.host)
    with watched_connections() as connections:
        for _ in range(2):
            async with one.fetch(files.answer("/stay", answer_and_stay), max_bytes=1):
                pass
    assert connections == [("127.0.0.1", files.port)] * 2
    await one.aclose()


async def test_a_proxy_of_the_environment_is_not_used(bait: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{bait}")
    connections = await refuse("http://a.example/", fetcher(resolve=resolving(a_example=[PUBLIC])))
    assert connections == [(PUBLIC, 80)]


async def test_a_look_up_that_takes_too_long_is_refused() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        await anyio.sleep_forever()
        return []

    hasty = Fetcher(allow_hosts=(), limits=FetchLimits(connect_s=0.01, idle_s=1), resolve=resolve)
    assert await refuse("http://a.example/", hasty) == []


async def test_a_name_without_an_address_gets_the_words_of_a_private_one() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        if host == "none.example":
            raise OSError("unknown")
        return ["10.0.0.1"] if host == "inside.example" else []

    words = set()
    for name in ("none", "inside", "empty"):
        with pytest.raises(InvalidRequest) as refused:
            async with fetcher(resolve=resolve).fetch(f"http://{name}.example/", max_bytes=10):
                pass
        words.add(refused.value.message.replace(name, "x"))
    assert len(words) == 1


# Certificates


@pytest.fixture(scope="module")
def certificate() -> Path:
    return Path(__file__).with_name("files.example.pem")


@pytest.fixture
def tls_files(certificate: Path) -> Iterator[tuple[FileServer, list[str | None]]]:
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda _, name, __: names.append(name)
    with FileServer(context) as server:
        yield server, names


def trusting(certificate: Path, port: int) -> Fetcher:
    async def resolve(host: str, _: int) -> list[str]:
        return ["127.0.0.1"]

    return fetcher(
        f"files.example:{port}",
        f"other.example:{port}",
        resolve=resolve,
        ssl_context=ssl.create_default_context(cafile=str(certificate)),
    )


async def test_the_certificate_is_the_names_though_the_connection_is_the_addresss(
    certificate: Path, tls_files: tuple[FileServer, list[str | None]]
) -> None:
    server, names = tls_files
    server.serve("/x", b"secret")
    url = f"https://files.example:{server.port}/x"
    async with trusting(certificate, server.port).fetch(url, max_bytes=10) as file:
        assert file.file.read() == b"secret"
    assert names == ["files.example"]
    assert f"\r\nhost: files.example:{server.port}\r\n" in server.requests[0].lower()


@pytest.mark.parametrize("host", ["other.example", "127.0.0.1"])
async def test_a_certificate_of_another_name_is_refused(
    certificate: Path, tls_files: tuple[FileServer, list[str | None]], host: str
) -> None:
    server, _ = tls_files
    allowed = trusting(certificate, server.port)
    allowed._allowed.add(f"127.0.0.1:{server.port}")
    await refuse(f"https://{host}:{server.port}/x", allowed)
    assert server.requests == []


# Addresses alone


@pytest.mark.parametrize(
    "text",
    [PUBLIC, PUBLIC_6, "8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2001:4860:4860::8888", "100.63.0.1"],
)
def test_what_is_public(text: str) -> None:
    address = read_address(text)
    assert address is not None
    assert is_public(address)


@pytest.mark.parametrize("text", ["", "x", "fe80::1%eth0", "1.2.3", "::1%1", "2606:2800::1%0"])
def test_what_is_no_address(text: str) -> None:
    assert read_address(text) is None
