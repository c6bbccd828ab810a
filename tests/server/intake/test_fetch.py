"""Server-side request forgery: a real https server here, which must not hear of any of it."""

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from metacompress_server.intake.addresses import is_public
from metacompress_server.intake.fetch import PictureFetcher, system_resolve
from metacompress_server.pictures.refusals import PictureRefused

pytestmark = pytest.mark.anyio

HOST = "pictures.example"
CONTENT = b"\x89PNG" + bytes(5000)


@dataclass
class Local:
    """A server on the loopback address that counts connections, and a fetcher that may reach it."""

    fetcher: PictureFetcher
    port: int
    requests: list[str] = field(default_factory=list)

    def url(self, host: str = HOST, path: str = "/picture.png") -> str:
        return f"https://{host}:{self.port}{path}"


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[Local]:
    certificate = _certificate(tmp_path)
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(certificate)
    found: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        found.append(request.path)
        return await _answer(request)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=serving)
    await site.start()
    port: int = runner.addresses[0][1]
    fetcher = PictureFetcher(
        hosts=(HOST,),
        timeout_s=2.0,
        max_bytes=10_000,
        resolve=_everything_is_here,
        permits=lambda _: True,
        port=port,
        tls=ssl.create_default_context(cafile=str(certificate)),
    )
    yield Local(fetcher, port, found)
    await runner.cleanup()


async def _everything_is_here(_: str) -> list[str]:
    return ["127.0.0.1"]


async def _answer(request: web.Request) -> web.StreamResponse:
    match request.path:
        case "/redirect":
            raise web.HTTPFound("/picture.png")
        case "/missing":
            raise web.HTTPNotFound
        case "/slow":
            await asyncio.sleep(5)
        case "/endless":
            stream = web.StreamResponse()
            await stream.prepare(request)
            for _ in range(10_000):
                await stream.write(bytes(10_000))
            return stream
        case "/long":
            return web.Response(body=bytes(20_000))
        case "/gzip":
            response = web.Response(body=CONTENT)
            response.enable_compression(web.ContentCoding.gzip)
            return response
    return web.Response(body=CONTENT, headers={"Set-Cookie": "a=b"})


async def test_an_allowed_host_is_fetched(local: Local) -> None:
    """The other tests would see the connection: this is what it looks like."""
    assert await local.fetcher.fetch(local.url()) == CONTENT
    assert local.requests == ["/picture.png"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/redirect", "failed_to_download_image"),
        ("/missing", "failed_to_download_image"),
        ("/slow", "failed_to_download_image"),
        ("/gzip", "failed_to_download_image"),
        ("/long", "image_file_too_large"),
        ("/endless", "image_file_too_large"),
    ],
)
async def test_answers_that_are_not_taken(local: Local, path: str, code: str) -> None:
    with pytest.raises(PictureRefused) as refused:
        await local.fetcher.fetch(local.url(path=path))
    assert refused.value.code == code
    assert local.requests == [path]


@pytest.mark.parametrize(
    "template",
    [
        "http://pictures.example:{port}/picture.png",
        "https://other.example:{port}/picture.png",
        "https://sub.pictures.example:{port}/picture.png",
        "https://pictures.example.evil.example:{port}/picture.png",
        "https://pictures.example.:{port}/picture.png",
        "https://pictures.example/picture.png",
        "https://pictures.example:1/picture.png",
        "https://user:secret@pictures.example:{port}/picture.png",
        "https://user@pictures.example:{port}/picture.png",
        "https://pictures.example:secret@127.0.0.1:{port}/picture.png",
        "https://pictures.example\\@127.0.0.1:{port}/picture.png",
        "https://127.0.0.1:{port}#@pictures.example/picture.png",
        "https://127.0.0.1:{port}/picture.png",
        "https://2130706433:{port}/picture.png",
        "https://0x7f000001:{port}/picture.png",
        "https://0177.0.0.1:{port}/picture.png",
        "https://127.1:{port}/picture.png",
        "https://[::1]:{port}/picture.png",
        "https://[::ffff:127.0.0.1]:{port}/picture.png",
        "https://localhost:{port}/picture.png",
        "https://ⓟictures.example:{port}/picture.png",
        "https://pictures.example:{port}/picture.png\r\nX-Evil: 1",
        "https:///picture.png",
        "https://[",
        "file:///etc/passwd",
        "ftp://pictures.example:{port}/picture.png",
        "gopher://pictures.example:{port}/picture.png",
        "//pictures.example:{port}/picture.png",
        "/etc/passwd",
        "",
    ],
)
async def test_addresses_that_are_never_opened(local: Local, template: str) -> None:
    with pytest.raises(PictureRefused) as refused:
        await local.fetcher.fetch(template.replace("{port}", str(local.port)))
    assert refused.value.code == "invalid_image_url"
    assert local.requests == []


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["169.254.169.254"],
        ["93.184.215.14", "127.0.0.1"],
        [],
    ],
)
async def test_a_name_that_leads_to_this_machine_is_not_followed(
    local: Local, addresses: list[str]
) -> None:
    """Allowed by name; what counts is where it leads, and every address of it."""

    async def resolve(_: str) -> list[str]:
        return addresses

    fetcher = replace(local.fetcher, permits=is_public, resolve=resolve)
    with pytest.raises(PictureRefused) as refused:
        await fetcher.fetch(local.url())
    assert refused.value.code == "failed_to_download_image"
    assert local.requests == []


async def test_a_name_that_changes_after_the_check_does_not_help(local: Local) -> None:
    """DNS rebinding: the name is asked once, and the connection goes to that very answer."""
    answers = [["192.0.2.1"], ["127.0.0.1"]]
    asked: list[str] = []

    async def resolve(host: str) -> list[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    fetcher = replace(local.fetcher, resolve=resolve, timeout_s=0.5)
    with pytest.raises(PictureRefused):
        await fetcher.fetch(local.url())
    assert asked == [HOST]
    assert local.requests == []


async def test_a_certificate_of_nobody_is_not_trusted(local: Local) -> None:
    with pytest.raises(PictureRefused):
        await replace(local.fetcher, tls=True).fetch(local.url())
    assert local.requests == []


async def test_without_hosts_nothing_is_fetched(local: Local) -> None:
    with pytest.raises(PictureRefused):
        await replace(local.fetcher, hosts=()).fetch(local.url())
    assert local.requests == []


async def test_the_resolver_of_this_machine() -> None:
    assert await system_resolve("localhost")


def _certificate(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path
