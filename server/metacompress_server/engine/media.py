"""How pictures get into the server: data URLs, and downloads only where a flag allows them.

One place for every route of vLLM's, chosen by `VLLM_MEDIA_CONNECTOR=metacompress`.
"""

import binascii
from typing import Any, NoReturn

import aiohttp
from PIL.Image import DecompressionBombError
from vllm.exceptions import VLLMValidationError
from vllm.multimodal.media import MEDIA_CONNECTOR_REGISTRY, MediaConnector

NAME = "metacompress"

_FAILURES = (OSError, ValueError, NotImplementedError, aiohttp.ClientError, DecompressionBombError)


class GuardedMediaConnector(MediaConnector):
    """vLLM's connector behind a check of the URL, with every failure said as the client's error.

    Downloads need `--allowed-media-domains`, files `--allowed-local-media-path`; without them no
    address that a client names is ever opened.
    """

    def load_from_url(self, url: str, media_io: Any, **options: Any) -> Any:
        """As vLLM's. Raises VLLMValidationError for whatever is wrong with the picture."""
        self._check(url)
        try:
            return super().load_from_url(url, media_io, **options)
        except _FAILURES as error:
            _refuse(url, error)

    async def load_from_url_async(self, url: str, media_io: Any, **options: Any) -> Any:
        """As `load_from_url`."""
        self._check(url)
        try:
            return await super().load_from_url_async(url, media_io, **options)
        except _FAILURES as error:
            _refuse(url, error)

    def _check(self, url: str) -> None:
        schemes = ["data:"]
        if self.allowed_media_domains:
            schemes += ["https:", "http:"]
        if self.allowed_local_media_path:
            schemes += ["file:"]
        if not url.lower().startswith(tuple(schemes)):
            raise VLLMValidationError(f"this server takes pictures as {' or '.join(schemes)} URLs")


def register_media_connector() -> None:
    """Make the connector known to vLLM under its name."""
    MEDIA_CONNECTOR_REGISTRY.register(NAME)(GuardedMediaConnector)


def _refuse(url: str, error: Exception) -> NoReturn:
    """Raise what `error` means for the client; nothing of its own words."""
    if isinstance(error, DecompressionBombError) or "exceed the maximum" in str(error):
        raise VLLMValidationError("a picture has too many pixels") from error
    if isinstance(error, binascii.Error | NotImplementedError) or "data URL" in str(error):
        raise VLLMValidationError("a picture's data URL does not hold valid base64") from error
    if url[:5].lower() != "data:" and isinstance(error, OSError | aiohttp.ClientError):
        raise VLLMValidationError("a picture could not be downloaded") from error
    raise VLLMValidationError(
        "a picture in the request could not be read: broken, or not a picture"
    ) from error
