"""The engine's side of the compressor's life: verified at the start, replaced while it runs."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from metacompress_compressor.artifact import ArtifactError, load_artifact, verify_against_model
from metacompress_server.checkpoint import local_folder

from .configuration import compressor_folder
from .worker import COMPRESSORS as HELD_BY_WORKER
from .worker import LOAD

if TYPE_CHECKING:
    from vllm.config import ModelConfig

COMPRESSORS = "metacompress_compressors"
"""Name to give to `collective_rpc`; answer: digests that every worker holds, the newest last."""

RELOAD = "metacompress_reload_compressor"
"""Argument: an artifact folder; answer: its digest, once every worker holds it."""

AskWorkers = Callable[..., list[Any]]
"""`collective_rpc` of the workers: a method's name, its arguments; one answer per worker."""


class CompressorMismatch(RuntimeError):
    """Workers that hold another compressor. The message is one line."""


class CompressorKeeper:
    """Sees to it that all workers of one engine hold the same mappings."""

    def __init__(self, model_config: "ModelConfig", ask_workers: AskWorkers) -> None:
        self._model_config = model_config
        self._ask_workers = ask_workers
        self._positions = ""

    def verify(self) -> None:
        """Every worker loaded the artifact that stands in the folder now.

        Raises:
            CompressorMismatch: naming worker and digests.
            ArtifactError: the folder cannot be read.
        """
        folder = compressor_folder(self._model_config)
        artifact = load_artifact(folder)
        self._positions, expected = artifact.config.positions, artifact.digest
        for worker, digests in enumerate(self._ask_workers(HELD_BY_WORKER)):
            if digests != [expected]:
                raise CompressorMismatch(
                    f"worker {worker} holds compressor {_short(digests)}, but {folder} is "
                    f"{expected[:12]} here: every machine needs the same artifact"
                )

    def digests(self) -> list[str]:
        """What every worker holds, the newest last."""
        first, *others = self._ask_workers(HELD_BY_WORKER)
        for worker, digests in enumerate(others, start=1):
            if digests != first:
                raise CompressorMismatch(
                    f"worker {worker} holds compressors {_short(digests)}, worker 0 {_short(first)}"
                )
        return list(first)

    def reload(self, folder: str) -> str:
        """Have every worker load one more artifact. Pictures choose theirs by its digest, so
        nothing changes until the HTTP process lays pictures out for the new one.

        Returns:
            Its digest.

        Raises:
            ArtifactError: it cannot be read, does not fit the model, numbers positions otherwise
                than the model was started with, or a worker could not load it.
        """
        artifact = load_artifact(folder)
        model = self._model_config
        verify_against_model(artifact.config, local_folder(model.model, model.revision))
        if artifact.config.positions != self._positions:
            raise ArtifactError(
                f"{folder} has positions {artifact.config.positions}, but the model was started "
                f"with {self._positions}: start the server anew"
            )
        for worker, complaint in enumerate(self._ask_workers(LOAD, folder, artifact.digest)):
            if complaint:
                raise ArtifactError(f"worker {worker}: {complaint}")
        return artifact.digest


def _short(digests: list[str]) -> str:
    return ", ".join(digest[:12] for digest in digests) or "none"
