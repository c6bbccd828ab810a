"""One way in for every picture, whichever route and whichever source it comes from."""

import asyncio
import functools
from dataclasses import dataclass
from typing import Any

from PIL import Image

from metacompress_server.front_metrics import front_metrics
from metacompress_server.picture_refusals import PictureRefused
from metacompress_server.settings import ServerSettings

from .data_url import read_data_url
from .decoder import DecodeLimits, Decoder
from .fetch import PictureFetcher


@dataclass(frozen=True)
class PictureIntake:
    """Turns what a client sent into pixels.

    max_bytes: of one encoded picture.
    """

    limits: DecodeLimits
    decoder: Decoder
    fetcher: PictureFetcher
    max_bytes: int

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
            content = await self._content(source)
            metrics.image_bytes.inc(len(content))
            with metrics.decode_seconds.time():
                return await self.decoder.decode(content, self.limits), content
        except PictureRefused as refused:
            metrics.reject_image(refused.reason)
            raise

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
    """Width and height of a stored picture, decoded like any other.

    Raises:
        PictureRefused: a message could not use it.
    """
    image, _ = await the_intake().open(content)
    return image.size
