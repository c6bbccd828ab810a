"""Where a picture's kept tokens look: opened like any picture, asked of the engine's workers.

The kernel never writes P, so a worker computes it once more with the mapping's reference, from the
tower's and the projector's output for the same pixels that a chat request would send.
"""

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from PIL import Image
from vllm.engine.protocol import EngineClient
from vllm.multimodal.processing import ProcessorInputs, TimingContext

from metacompress_server.engine_calls import LOOK
from metacompress_server.errors import RequestError
from metacompress_server.intake import the_intake
from metacompress_server.pictures.parts import picture_source
from metacompress_server.pictures.tag import TAG, PictureTag
from metacompress_server.playground.visible import visible_part
from metacompress_server.tenants import current_tenant

from .look import Look, picture_bytes
from .pictures import PictureDesk

if TYPE_CHECKING:
    from vllm.multimodal.processing import BaseMultiModalProcessor

_PARAM = "image_url"


class EngineLookDesk:
    """`LookDesk` of a running vLLM."""

    def __init__(self, engine: EngineClient, pictures: PictureDesk) -> None:
        self._engine = engine
        self._pictures = pictures

    async def look(self, url: str, detail: str | None) -> dict[str, Any]:
        """P of one picture at one budget, and which part of the picture its columns are.

        Raises:
            RequestError: as a chat request with that picture; 404 where pictures are not
                compressed, or by an executor that is not ours; 503 where the device has no memory
                left for it.
        """
        if self._pictures.plan is None:
            raise RequestError("this server runs without a compressor", status=404)
        image = await self._open(url, detail)
        content = await asyncio.to_thread(self._process, image)
        answers = await self._pictures.engine.ask(LOOK, content)
        if not answers:
            raise RequestError("this server's executor cannot be asked", status=404)
        if not answers[0]:
            raise RequestError("no memory left to look at this picture", status=503)
        box = visible_part(*image.size, self._image_processor())
        return {**Look.from_bytes(answers[0]).as_field(), "visible": asdict(box)}

    @property
    def _processor(self) -> "BaseMultiModalProcessor[Any]":
        return self._engine.renderer.get_mm_processor()

    def _image_processor(self) -> dict[str, Any]:
        settings: dict[str, Any] = self._processor.info.get_hf_processor().image_processor.to_dict()
        return settings

    async def _open(self, url: str, detail: str | None) -> Image.Image:
        """Through the same intake as a chat request's pictures, and tagged like them."""
        tenant = current_tenant()

        async def read_file(file_id: str) -> bytes:
            return await self._pictures.files.read(tenant.name, file_id)

        source = await picture_source(url, detail, read_file, _PARAM)
        image, _ = await the_intake().open(source.source)
        image.info[TAG] = PictureTag(tenant.cache_salt, source.detail)
        return image

    def _process(self, image: Image.Image) -> bytes:
        """Without vLLM's cache of processed pictures, which would take this one for sent."""
        processor = self._processor
        placeholder = processor.info.get_hf_config().image_token_index
        items = processor.info.parse_mm_data({"image": [image]})
        prompt = processor.apply(
            ProcessorInputs([placeholder], items), TimingContext(enabled=False)
        )
        return picture_bytes(prompt["mm_kwargs"]["image"][0])
