"""Decodes pictures in a few bounded processes, from threads that do nothing but wait for them."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from PIL import Image

from metacompress_server.pictures.refusals import PictureRefused

from .decoding_process import DecodingFailed, DecodingProcess
from .formats import picture_format


@dataclass(frozen=True)
class DecodeLimits:
    """What a picture may be.

    max_pixels: width x height by the file's header.
    min_side: pixels of the shorter side.
    max_aspect: longer over shorter side.
    max_side: a longer picture is scaled down to it.
    background: RGB under transparent pixels.
    """

    max_pixels: int
    min_side: int
    max_aspect: float
    max_side: int
    background: tuple[int, int, int] = (255, 255, 255)


class Decoder:
    """A pool of decoding processes, started when needed.

    Args:
        workers: processes.
        timeout_s: time for one picture; then its process is killed.
        memory_mib: address space of one process.
    """

    def __init__(self, workers: int, timeout_s: float, memory_mib: int) -> None:
        self._timeout_s = timeout_s
        self._memory_mib = memory_mib
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="metacompress-decoder")
        self._mine = threading.local()
        self._processes: set[DecodingProcess] = set()

    async def decode(self, content: bytes, limits: DecodeLimits) -> Image.Image:
        """The picture as RGB without any metadata.

        Raises:
            PictureRefused: broken, against the limits, or too slow or too hungry to decode.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._decode, content, limits)

    def close(self) -> None:
        """Wait for the pictures at hand, then end every process."""
        self._threads.shutdown(cancel_futures=True)
        for process in self._processes:
            process.close()
        self._processes.clear()

    def _decode(self, content: bytes, limits: DecodeLimits) -> Image.Image:
        job = {"format": picture_format(content), **asdict(limits)}
        try:
            answer, pixels = self._process().ask(job, content, self._timeout_s)
        except DecodingFailed as failed:
            reason = "image_decoding_timeout" if failed.late else "invalid_image"
            raise PictureRefused(reason) from None
        if "refused" in answer:
            raise PictureRefused(answer["refused"])
        return Image.frombytes("RGB", (answer["width"], answer["height"]), pixels)

    def _process(self) -> DecodingProcess:
        """This thread's process; a new one where the last one died."""
        process: DecodingProcess | None = getattr(self._mine, "process", None)
        if process is not None and process.alive:
            return process
        if process is not None:
            process.close()
            self._processes.discard(process)
        process = self._mine.process = DecodingProcess(self._memory_mib)
        self._processes.add(process)
        return process
