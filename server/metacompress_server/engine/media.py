"""vLLM's media connector: every picture of every route comes through our intake, nothing else.

Chosen by `VLLM_MEDIA_CONNECTOR=metacompress`.
"""

import asyncio
from typing import Any, NoReturn

from vllm.exceptions import VLLMValidationError
from vllm.multimodal.media import MEDIA_CONNECTOR_REGISTRY, MediaConnector
from vllm.multimodal.media.base import MediaWithBytes
from vllm.multimodal.media.image import ImageMediaIO

from metacompress_server.intake import PictureRefused, the_intake
from metacompress_server.pictures.sources import UnknownHandle, resolve
from metacompress_server.pictures.tag import TAG, PictureTag
from metacompress_server.tenants import current_tenant

NAME = "metacompress"


class PictureConnector(MediaConnector):
    """No method of vLLM's connector that opens or decodes anything is left in reach."""

    async def load_from_url_async(self, url: str, media_io: Any, **_: Any) -> Any:
        """The picture that `url` stands for, tagged with its tenant and detail.

        Raises:
            VLLMValidationError: for whatever is wrong with it; answered with status 400.
        """
        if not isinstance(media_io, ImageMediaIO):
            _refuse()
        intake = the_intake()
        try:
            source = resolve(url)
            image, content = await intake.open(source.source)
        except UnknownHandle as unknown:
            raise VLLMValidationError(str(PictureRefused("invalid_image_url"))) from unknown
        except PictureRefused as refused:
            raise VLLMValidationError(refused.message) from None
        image.info[TAG] = PictureTag(current_tenant().cache_salt, source.detail)
        return MediaWithBytes(image, content, intake.identity())

    def load_from_url(self, url: str, media_io: Any, **options: Any) -> Any:
        """As `load_from_url_async`, for callers without an event loop."""
        return asyncio.run(self.load_from_url_async(url, media_io, **options))

    def fetch_image_embedding(self, data: str) -> NoReturn:
        """Ready-made embeddings are refused unread."""
        _refuse()

    async def fetch_image_embedding_async(self, data: str) -> NoReturn:
        """Ready-made embeddings are refused unread."""
        _refuse()

    def fetch_audio_embedding(self, data: str) -> NoReturn:
        """Ready-made embeddings are refused unread."""
        _refuse()

    async def fetch_audio_embedding_async(self, data: str) -> NoReturn:
        """Ready-made embeddings are refused unread."""
        _refuse()


def register_media_connector() -> None:
    """Make the connector known to vLLM under its name."""
    MEDIA_CONNECTOR_REGISTRY.register(NAME)(PictureConnector)


def _refuse() -> NoReturn:
    raise VLLMValidationError("this server takes pictures, and no other media or embeddings")
