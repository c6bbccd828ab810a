"""The only function of the server that opens an address a client named."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from metacompress_server.pictures.refusals import PictureRefused

from .addresses import is_public

Resolve = Callable[[str], Awaitable[list[str]]]

_LONGEST_URL = 2048
_CHUNK = 1 << 16


class _Forbidden(OSError):
    """A name that leads to an address which is not public."""


async def system_resolve(host: str) -> list[str]:
    """The addresses of a name, as this machine's resolver says."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@dataclass(frozen=True)
class PictureFetcher:
    """Fetches pictures by https from hosts that the operator named.

    hosts: exact names; empty: nothing is fetched.
    timeout_s: for the whole download.
    max_bytes: the download stops there.
    resolve, permits, port, tls: as in production; tests stand in for the network with them.
    """

    hosts: tuple[str, ...]
    timeout_s: float
    max_bytes: int
    resolve: Resolve = system_resolve
    permits: Callable[[str], bool] = is_public
    port: int = 443
    tls: ssl.SSLContext | bool = True

    async def fetch(self, url: str) -> bytes:
        """The content behind `url`.

        The name is resolved once, every address of it is checked, and the connection goes to a
        checked address. No redirect is followed, no proxy and no cookie used.

        Raises:
            PictureRefused: not allowed, not reachable, too slow, too long, or any status but 200.
        """
        target = self._target(url)
        connector = aiohttp.TCPConnector(
            resolver=_CheckedResolver(self), use_dns_cache=False, force_close=True, ssl=self.tls
        )
        try:
            async with (
                aiohttp.ClientSession(
                    connector=connector,
                    timeout=aiohttp.ClientTimeout(total=self.timeout_s),
                    cookie_jar=aiohttp.DummyCookieJar(),
                    headers={
                        "User-Agent": "metacompress",
                        "Accept": "image/png, image/jpeg, image/webp",
                    },
                    skip_auto_headers=("Accept-Encoding",),
                    auto_decompress=False,
                    trust_env=False,
                ) as session,
                session.get(target, allow_redirects=False) as answer,
            ):
                return await self._read(answer)
        except (aiohttp.ClientError, OSError, ValueError):
            raise PictureRefused("failed_to_download_image") from None

    def _target(self, url: str) -> URL:
        """The very object that is connected to has passed the check: nothing is parsed twice."""
        try:
            target = URL(url) if len(url) <= _LONGEST_URL and _is_plain(url) else URL()
            allowed = (
                target.scheme == "https"
                and target.host in self.hosts
                and target.user is None
                and target.password is None
                and target.port == self.port
            )
        except ValueError:
            allowed = False
        if not allowed:
            raise PictureRefused("invalid_image_url")
        return target.with_fragment(None)

    async def _read(self, answer: aiohttp.ClientResponse) -> bytes:
        if answer.status != 200 or "Content-Encoding" in answer.headers:
            raise PictureRefused("failed_to_download_image")
        if (answer.content_length or 0) > self.max_bytes:
            raise PictureRefused("image_file_too_large")
        content = bytearray()
        async for chunk in answer.content.iter_chunked(_CHUNK):
            content += chunk
            if len(content) > self.max_bytes:
                raise PictureRefused("image_file_too_large")
        return bytes(content)


@dataclass
class _CheckedResolver(AbstractResolver):
    """Gives aiohttp addresses to connect to, and only such as have passed the check."""

    fetcher: PictureFetcher

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        addresses = await self.fetcher.resolve(host)
        if not addresses or not all(self.fetcher.permits(address) for address in addresses):
            raise _Forbidden("not a public address")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Nothing is held."""


def _is_plain(url: str) -> bool:
    """Printable ASCII without a backslash: what two parsers could read in two ways is not taken."""
    return url.isascii() and url.isprintable() and not set(url) & set('\\ "<>')
