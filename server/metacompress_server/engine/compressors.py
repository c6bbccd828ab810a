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
from metacompress_compressor.windows import Grid, compressed_grid
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
        self.device = device
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
        artifact.mapping.to(device=self.device, dtype=self._dtype)
        self._artifacts.pop(artifact.digest, None)
        self._artifacts[artifact.digest] = artifact
        return artifact.digest

    def budget(self, picture: PictureBudget) -> Budget:
        """A picture's place in the prompt."""
        config = self._artifacts[picture.digest].config
        return Budget.of(config, picture.retention_ratio)

    def compress(self, visual_tokens: Tensor, pictures: Sequence[PictureBudget]) -> list[Tensor]:
        """Each picture by its own mapping, to its own budget; all of one mapping together.

        Args:
            visual_tokens: `[B, N, D]`.
            pictures: B.

        Returns:
            B tensors `[M, D]`, in the order of the pictures.
        """
        compressed: list[Tensor | None] = [None] * len(pictures)
        for digest in dict.fromkeys(picture.digest for picture in pictures):
            members = [i for i, picture in enumerate(pictures) if picture.digest == digest]
            artifact = self._artifacts[digest]
            batch = visual_tokens if len(members) == len(pictures) else visual_tokens[members]
            outputs = artifact.mapping.compress_each(
                batch,
                artifact.config.base_model.grid,
                [pictures[i].retention_ratio for i in members],
            )
            for i, output in zip(members, outputs, strict=True):
                compressed[i] = output
        return [output for output in compressed if output is not None]

    def weights(self, visual_tokens: Tensor, picture: PictureBudget) -> tuple[Tensor, Grid, Grid]:
        """P of one picture, by the mapping's reference: the kernel never writes it.

        Args:
            visual_tokens: `[1, N, D]`.
            picture: whose mapping and budget.

        Returns:
            `[M, N]` float32, the grid of the N tokens and that of the M.
        """
        artifact = self._artifacts[picture.digest]
        grid, ratio = artifact.config.base_model.grid, picture.retention_ratio
        (weights,) = artifact.mapping.weights(visual_tokens, grid, ratio)
        return weights, grid, compressed_grid(grid, ratio, artifact.mapping.windows)
