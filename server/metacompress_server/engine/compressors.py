"""The mappings that a worker holds, by digest: each picture goes through the one it was hashed for.

After a reload requests are still on their way that were laid out for the mapping before. Their
pictures carry its digest and go through it, so that no cache entry ever mixes two mappings. A
mapping is small (2 D Dc numbers: 4 MB for a 7B model in half precision), so none is dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from metacompress_compressor.artifact import Artifact, ArtifactError, load_artifact
from metacompress_server.plan import Budget


@dataclass(frozen=True)
class PictureBudget:
    """What a picture's processed inputs say about its compression.

    digest: of the artifact that it was hashed and laid out for.
    retention_ratio: its budget.
    """

    digest: str
    retention_ratio: float

    def tensors(self) -> tuple[Tensor, Tensor]:
        """As `mm_kwargs` carry it: digest as `[32]` bytes, ratio as a float64 scalar."""
        digest = torch.frombuffer(bytearray.fromhex(self.digest), dtype=torch.uint8)
        return digest, torch.tensor(self.retention_ratio, dtype=torch.float64)

    @classmethod
    def read(cls, digest: Tensor, retention_ratio: Tensor) -> "PictureBudget":
        """Back from tensors on the CPU."""
        return cls(bytes(digest.tolist()).hex(), float(retention_ratio))


class LoadedCompressors:
    """The mappings of one worker.

    Args:
        device: where the visual tokens are.
        dtype: of the model's weights.
    """

    def __init__(self, device: torch.device | str, dtype: torch.dtype) -> None:
        self._device = device
        self._dtype = dtype
        self._artifacts: dict[str, Artifact] = {}

    @property
    def digests(self) -> list[str]:
        """In the order of loading; new pictures are laid out for the last."""
        return list(self._artifacts)

    def load(self, folder: Path | str, digest: str | None = None) -> str:
        """Add a mapping, or bring it to the end if it is there. Returns its digest.

        Args:
            folder: of the artifact.
            digest: what it must be; None for whatever it is.

        Raises:
            ArtifactError: as one line.
        """
        artifact = load_artifact(folder)
        if digest not in (None, artifact.digest):
            raise ArtifactError(f"{folder} holds {artifact.digest[:12]}, not {str(digest)[:12]}")
        artifact.mapping.to(device=self._device, dtype=self._dtype)
        self._artifacts.pop(artifact.digest, None)
        self._artifacts[artifact.digest] = artifact
        return artifact.digest

    def budget(self, picture: PictureBudget) -> Budget:
        """A picture's place in the prompt."""
        config = self._artifacts[picture.digest].config
        return Budget.of(config, picture.retention_ratio)

    def compress(self, visual_tokens: Tensor, pictures: Sequence[PictureBudget]) -> list[Tensor]:
        """Each picture by its own mapping, to its own budget.

        Args:
            visual_tokens: `[B, N, D]`.
            pictures: B.

        Returns:
            B tensors `[M, D]`, in the order of the pictures.
        """
        compressed: list[Tensor | None] = [None] * len(pictures)
        for wanted in dict.fromkeys(pictures):
            members = [i for i, picture in enumerate(pictures) if picture == wanted]
            config = self._artifacts[wanted.digest].config
            batch = visual_tokens if len(members) == len(pictures) else visual_tokens[members]
            outputs = self._artifacts[wanted.digest].mapping(
                batch, config.base_model.grid, wanted.retention_ratio
            )
            for i, output in zip(members, outputs, strict=True):
                compressed[i] = output
        return [output for output in compressed if output is not None]
