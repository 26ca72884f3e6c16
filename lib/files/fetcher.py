"""Downloads the files that a caller names, from the public internet only.

The closest library is httpx-secure (read in November 2026). It opens a connection to find the address that it
then checks, checks one address of several, drops the port from Host, and leaves redirects, size and
decompression to its user. This module resolves once, checks all addresses, and connects to these only.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx
import msgspec

from lib.errors import InvalidRequest
from lib.files.addresses import is_public, read_address
from lib.files.inflate import BrokenCompression, UnknownEncoding, unpacked
from lib.files.inline import decode_base64_file, is_data_url, unavailable
from lib.files.lookups import Lookups
from lib.files.names import name_of
from lib.files.spool import SPOOL_BYTES, FetchedFile, Spool
from lib.tasks import start
from lib.transport.pool import Transport

__all__ = ["FetchLimits", "FetchedFile", "Fetcher", "Resolve", "decode_base64_file", "is_data_url"]

Resolve = Callable[[str, int], Awaitable[Iterable[str]]]
"""Resolves host and port to addresses; raises OSError if there are none."""

_HEADERS = {
    # Some sites answer 403 to a client without a usual User-Agent.
    "User-Agent": "Mozilla/5.0 (compatible; glm-gateway)",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
}
_REDIRECTS = (301, 302, 303, 307, 308)
_PORTS = {"http": 80, "https": 443}


class FetchLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of one fetch."""

    connect_s: float
    idle_s: float
    total_s: float = 300.0
    """A server may send a byte now and then for ever. The longest function of a host is over by then."""
    max_redirects: int = 5
    max_addresses: int = 4
    """So many addresses of a host are tried, one after the other: two of each family."""


class Fetcher:
    """Fetches files on one event loop. No cookies, credentials or proxies; no connection is reused."""

    def __init__(
        self,
        *,
        allow_hosts: tuple[str, ...],
        limits: FetchLimits,
        resolve: Resolve | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed = {entry.lower() for entry in allow_hosts}
        self._limits = limits
        self._resolve = resolve or Lookups().resolve
        self._timeouts = httpx.Timeout(limits.idle_s, connect=limits.connect_s).as_dict()
        self._ssl_context = ssl_context
        self._transport: Transport | None = None

    async def aclose(self) -> None:
        if self._transport is not None:
            await self._transport.aclose()

    @asynccontextmanager
    async def fetch(self, url: str, *, max_bytes: int) -> AsyncIterator[FetchedFile]:
        """Fetch the file of an http(s) or data URL, and close it after the block.

        Raise InvalidRequest (`invalid_file`) if it cannot be fetched, RequestTooLarge if it is too large.
        """
        file = await self._fetch(url, max_bytes)
        try:
            yield file
        finally:
            file.close()

    async def _fetch(self, url: str, max_bytes: int) -> FetchedFile:
        if is_data_url(url):
            return await _decoded(url, max_bytes)
        try:
            async with asyncio.timeout(self._limits.total_s):
                return await self._download(_parsed(url), max_bytes)
        except TimeoutError:
            raise unavailable(f"The file was not complete within {self._limits.total_s:g} s.") from None

    async def _download(self, url: httpx.URL, max_bytes: int) -> FetchedFile:
        for _ in range(self._limits.max_redirects + 1):
            with _errors_of_http(url):
                response = await self._open(url)
                try:
                    if response.status_code not in _REDIRECTS:
                        return await _received(response, url, max_bytes)
                finally:
                    await response.aclose()
            url = _redirected(url, response)
        raise unavailable(f"The file's address redirects more than {self._limits.max_redirects} times.")

    async def _open(self, url: httpx.URL) -> httpx.Response:
        """Connect to one of the host's addresses, after all were checked, and ask for the file."""
        failure: httpx.TransportError | None = None
        for address in (await self._addresses(url))[: self._limits.max_addresses]:
            request = httpx.Request(
                "GET",
                url.copy_with(host=address, fragment=None),
                headers={"Host": url.netloc.decode("ascii"), **_HEADERS},
                # The certificate must be for the name, although we connect to an address.
                extensions={"timeout": self._timeouts, "sni_hostname": url.raw_host.decode("ascii")},
            )
            try:
                return await self._opened_transport().handle_async_request(request)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
        raise failure or _not_public(url.host)

    async def _addresses(self, url: httpx.URL) -> list[str]:
        """Resolve once, and refuse the host if any of its addresses is not public."""
        host, port = url.host, url.port or _PORTS[url.scheme]
        try:
            async with asyncio.timeout(self._limits.connect_s):
                found = list(dict.fromkeys(await self._resolve(host, port)))
        except TimeoutError:
            raise unavailable(f"The name {host} could not be resolved in time.") from None
        except (OSError, ValueError) as error:  # ValueError: the text cannot be a name
            raise _not_public(host) from error
        addresses = [read_address(text) for text in found]
        if not self._is_allowed(url) and not all(address and is_public(address) for address in addresses):
            raise _not_public(host)
        return _families_in_turn([str(address) for address in addresses if address])

    def _is_allowed(self, url: httpx.URL) -> bool:
        """Tell whether the owner allows the host: with this port, or without one if the URL has none."""
        host = f"[{url.host}]" if ":" in url.host else url.host
        names = {f"{host}:{url.port or _PORTS[url.scheme]}"}
        return not self._allowed.isdisjoint(names | ({host} if url.port is None else set()))

    def _opened_transport(self) -> Transport:
        # A transport, not a client: a client keeps cookies, and reads the environment for proxies.
        if self._transport is None:
            self._transport = Transport(
                tls=self._ssl_context,
                # The pool knows connections by address. A second use might be for another name.
                limits=httpx.Limits(max_keepalive_connections=0),
            )
        return self._transport


def _not_public(host: str) -> InvalidRequest:
    """Say the same of a name that leads inside and of one that does not exist: a caller could list ours."""
    return unavailable(
        f"{host} is not a public host. Files are fetched from the public internet only. If it is a host of "
        "the owner's, FETCH_ALLOW_HOSTS lets it in."
    )


def _parsed(text: str, base: httpx.URL | None = None) -> httpx.URL:
    """Parse an address by the parser that also connects: a second one may read another host in it."""
    try:
        url = httpx.URL(text) if base is None else base.join(text)
        host = url.host
    except (httpx.InvalidURL, ValueError) as error:
        raise unavailable("The file's address is not a valid URL.") from error
    if url.scheme not in _PORTS:
        raise unavailable(
            f"The file's address must begin with http:, https: or data:, not {url.scheme[:20]!r}."
        )
    if not host:
        raise unavailable("The file's address has no host.")
    if url.userinfo:
        raise unavailable("The file's address must not contain a user name or a password.")
    return url


def _redirected(url: httpx.URL, response: httpx.Response) -> httpx.URL:
    location = response.headers.get("location", "")
    if not location:
        raise unavailable(f"{url.host} answered with a redirect that has no address.")
    return _parsed(location, url)


def _families_in_turn(addresses: list[str]) -> list[str]:
    """Alternate v4 and v6: a machine without a route for one family then loses one attempt, not all."""
    first = [address for address in addresses if (":" in address) == (":" in addresses[0])]
    second = [address for address in addresses if address not in first]
    mixed = [address for pair in zip(first, second, strict=False) for address in pair]
    return mixed + [address for address in addresses if address not in mixed]


async def _received(response: httpx.Response, url: httpx.URL, max_bytes: int) -> FetchedFile:
    if response.status_code != 200:
        raise unavailable(f"{url.host} answered HTTP {response.status_code} instead of the file.")
    spool = Spool(max_bytes)
    try:
        if response.headers.get("content-length", "").isdecimal():
            spool.check_size(int(response.headers["content-length"]))
        async for piece in _unpacked(response, url, spool):
            await spool.write(piece)
        if not spool.size:
            raise unavailable(f"The file at {url.host} is empty.")
        return await spool.finish(
            content_type=response.headers.get("content-type", ""),
            name=name_of(url.path, response.headers.get("content-disposition", "")),
        )
    except BaseException:
        spool.close()
        raise


async def _unpacked(response: httpx.Response, url: httpx.URL, spool: Spool) -> AsyncIterator[bytes]:
    encoding = response.headers.get("content-encoding", "")
    try:
        async for piece in unpacked(_measured(response, spool), encoding):
            yield piece
    except UnknownEncoding as error:
        said = str(error)[:20]
        raise unavailable(f"{url.host} sent the file in an unsupported encoding: {said!r}.") from None
    except BrokenCompression as error:
        raise unavailable(f"The compressed file from {url.host} is broken: {error}.") from error


async def _measured(response: httpx.Response, spool: Spool) -> AsyncIterator[bytes]:
    """Bound the bytes on the way: an endless body can unpack to nothing."""
    received = 0
    async for data in response.aiter_raw():
        received += len(data)
        spool.check_size(received)
        yield data


async def _decoded(url: str, max_bytes: int) -> FetchedFile:
    if len(url) <= SPOOL_BYTES:
        return decode_base64_file(url, name=None, max_bytes=max_bytes)
    decoding = start(asyncio.to_thread(decode_base64_file, url, name=None, max_bytes=max_bytes))
    try:
        return await asyncio.shield(decoding)
    except asyncio.CancelledError:
        decoding.add_done_callback(_close_result)
        raise


def _close_result(decoding: asyncio.Future[FetchedFile]) -> None:
    """Close the file of a thread that ended after its reader was cancelled."""
    if not decoding.cancelled() and decoding.exception() is None:
        decoding.result().close()


@contextmanager
def _errors_of_http(url: httpx.URL) -> Iterator[None]:
    """Turn httpx's errors into ours. They name the host only: the rest of an address may hold secrets."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise unavailable(f"The gateway could not connect to {url.host} for the file.") from error
    except httpx.TimeoutException as error:
        raise unavailable(f"{url.host} stopped sending before the file was complete.") from error
    except (httpx.HTTPError, httpx.StreamError) as error:
        raise unavailable(f"The connection to {url.host} broke before the file was complete.") from error
