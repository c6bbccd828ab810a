"""One way in for every picture, whichever route and whichever source it comes from."""

import asyncio
import functools
from dataclasses import dataclass
from typing import Any

from PIL import Image

from metacompress_server.front.metrics import front_metrics
from metacompress_server.pictures.refusals import PictureRefused
from metacompress_server.settings import ServerSettings
from metacompress_server.tenants import current_tenant
from metacompress_server.tracing import INTAKE, span

from .data_url import read_data_url
from .decoded import DecodedPictures
from .decoder import DecodeLimits, Decoder
from .fetch import PictureFetcher


@dataclass(frozen=True)
class PictureIntake:
    """Turns what a client sent into pixels.

    max_bytes: of one encoded picture.
    decoded: pixels of the last pictures.
    """

    limits: DecodeLimits
    decoder: Decoder
    fetcher: PictureFetcher
    max_bytes: int
    decoded: DecodedPictures

    @classmethod
    def of(cls, settings: ServerSettings) -> "PictureIntake":
        """As the operator set it."""
        max_bytes = int(settings.max_image_mib * (1 << 20))
        return cls(
            limits=DecodeLimits(
                max_pixels=settings.max_pixels,
                min_side=settings.min_image_side,
                max_aspect=settings.max_image_aspect,
                max_side=settings.max_decoded_side,
            ),
            decoder=Decoder(
                settings.decode_workers, settings.decode_timeout_s, settings.decode_memory_mib
            ),
            fetcher=PictureFetcher(
                settings.allowed_image_hosts, settings.fetch_timeout_s, max_bytes
            ),
            max_bytes=max_bytes,
            decoded=DecodedPictures(int(settings.decoded_cache_mib * (1 << 20))),
        )

    async def open(self, source: str | bytes) -> tuple[Image.Image, bytes]:
        """The decoded picture, and the file it was decoded from.

        Args:
            source: a URL, or the file itself.

        Raises:
            PictureRefused: for whatever is wrong with it.
        """
        metrics = front_metrics()
        try:
            with span(INTAKE):
                content = await self._content(source)
                if isinstance(source, str):
                    metrics.image_bytes.inc(len(content))
                return await self._pixels(content), content
        except PictureRefused as refused:
            metrics.reject_image(refused.reason)
            raise

    async def _pixels(self, content: bytes) -> Image.Image:
        salt = current_tenant().cache_salt
        key = await asyncio.to_thread(self.decoded.key, salt, content)
        known = self.decoded.get(key)
        front_metrics().decoded_lookup(known is not None)
        if known is not None:
            return known
        with front_metrics().decode_seconds.time():
            image = await self.decoder.decode(content, self.limits)
        self.decoded.put(key, image)
        return image

    async def _content(self, source: str | bytes) -> bytes:
        if isinstance(source, bytes):
            if len(source) > self.max_bytes:
                raise PictureRefused("image_file_too_large")
            return source
        if source[:5].lower() == "data:":
            return await asyncio.to_thread(read_data_url, source, self.max_bytes)
        with front_metrics().fetch_seconds.time():
            return await self.fetcher.fetch(source)

    def identity(self) -> dict[str, Any]:
        """What of the settings changes the pixels that a file becomes."""
        return {"max_side": self.limits.max_side, "background": list(self.limits.background)}


@functools.cache
def the_intake() -> PictureIntake:
    """This process's intake."""
    return PictureIntake.of(ServerSettings.current())


async def check_picture(content: bytes) -> tuple[int, int]:
    """Width and height of an uploaded picture, decoded like any other.

    Raises:
        PictureRefused: a message could not use it.
    """
    front_metrics().image_bytes.inc(len(content))
    image, _ = await the_intake().open(content)
    return image.size
