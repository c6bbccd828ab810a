"""What our executors ask of vLLM's workers (`--worker-extension-cls`).

Nothing here raises: a worker that fails leaves the replies of the others unread, and the engine
would take them for the answers to its next question.
"""

from typing import TYPE_CHECKING

import torch

from metacompress_compressor.artifact import ArtifactError

from .look import picture_from_bytes

if TYPE_CHECKING:
    from metacompress_server.pictures.traced_batches import Batch

    from .compressors import LoadedCompressors
    from .stopwatch import Stopwatch

COMPRESSORS = "metacompress_worker_compressors"
LOAD = "metacompress_worker_load"
TIMINGS = "metacompress_worker_timings"
LOOK = "metacompress_worker_look"
"""Names to give to `collective_rpc`: the methods below."""


class CompressorWorker:
    """Mixed into vLLM's worker, which holds the model in `model_runner`."""

    def metacompress_worker_compressors(self) -> list[str]:
        """Digests of the mappings that this worker holds; new pictures go through the last."""
        return self._metacompress_compressors().digests

    def metacompress_worker_load(self, folder: str, digest: str) -> str:
        """Load one more mapping. Returns what went wrong in one line, nothing where all is well."""
        compressors = self._metacompress_compressors()
        try:
            compressors.load(folder, digest)
        except ArtifactError as error:
            return str(error)
        return ""

    def metacompress_worker_timings(self) -> "list[Batch]":
        """The batches of pictures since the last call."""
        model = self.model_runner.get_model()  # type: ignore[attr-defined]
        stopwatch: Stopwatch | None = getattr(model, "stopwatch", None)
        return [] if stopwatch is None else stopwatch.take()

    def metacompress_worker_look(self, picture: bytes) -> bytes:
        """`Look` at one picture, both as `look` writes them; empty where memory ran out."""
        pixels, budget = picture_from_bytes(picture)
        try:
            return self.model_runner.get_model().look(pixels, budget).as_bytes()  # type: ignore[attr-defined, no-any-return]
        except torch.OutOfMemoryError:
            return b""

    def _metacompress_compressors(self) -> "LoadedCompressors":
        compressors: LoadedCompressors = self.model_runner.get_model().compressors  # type: ignore[attr-defined]
        return compressors
