"""What transformers answers when it is fed the same reduced embeddings at the same positions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL.Image import Image
from torch import Tensor
from transformers import AutoProcessor, LlavaForConditionalGeneration

from metacompress_compressor.artifact import Artifact, load_artifact
from metacompress_compressor.windows import compressed_grid, window_positions


@dataclass
class ReferenceAnswer:
    """Greedy tokens, and the log-probability of each."""

    token_ids: list[int]
    logprobs: list[float]


class Reference:
    """A checkpoint in transformers, float32; pictures compressed by an artifact or not at all."""

    def __init__(self, model: Path, compressor: Path | None) -> None:
        self.processor = AutoProcessor.from_pretrained(model)
        self.model = LlavaForConditionalGeneration.from_pretrained(model, dtype=torch.float32)
        self.model.eval()
        self.artifact: Artifact | None = None if compressor is None else load_artifact(compressor)

    @torch.no_grad()
    def answer(
        self,
        prompt: str,
        images: list[Image],
        max_tokens: int,
        ratios: Sequence[float] | None = None,
    ) -> ReferenceAnswer:
        """Greedy decoding without any cache.

        Args:
            prompt: with one `<image>` per picture.
            images: in the prompt's order.
            max_tokens: as many are decoded, end of turn or not.
            ratios: each picture's share of tokens; by default the artifact's.
        """
        embeddings, positions = self._prompt(prompt, images, ratios or [None] * len(images))
        token_ids: list[int] = []
        logprobs: list[float] = []
        for _ in range(max_tokens):
            logits = self.model(
                inputs_embeds=embeddings[None], position_ids=torch.tensor([positions])
            ).logits[0, -1]
            values = torch.log_softmax(logits.float(), dim=-1)
            token = int(values.argmax())
            token_ids.append(token)
            logprobs.append(float(values[token]))
            embeddings = torch.cat([embeddings, self._embed([token])])
            positions.append(positions[-1] + 1)
        return ReferenceAnswer(token_ids, logprobs)

    def _prompt(
        self, prompt: str, images: list[Image], ratios: Sequence[float | None]
    ) -> tuple[Tensor, list[int]]:
        """Embeddings `[T, D]` and positions, built piece by piece between the pictures."""
        tokenizer = self.processor.tokenizer
        pieces = prompt.split("<image>")
        embeddings, positions, following = [], [], 0
        for index, piece in enumerate(pieces):
            ids = tokenizer(piece, add_special_tokens=False)["input_ids"]
            if ids:
                embeddings.append(self._embed(ids))
            positions += range(following, following + len(ids))
            following += len(ids)
            if index < len(images):
                tokens, offsets, taken = self._picture(images[index], ratios[index])
                embeddings.append(tokens)
                positions += [following + offset for offset in offsets]
                following += taken
        return torch.cat(embeddings), positions

    def _picture(self, image: Image, ratio: float | None) -> tuple[Tensor, list[int], int]:
        """A picture's tokens, their positions from its start, and how many positions it takes."""
        pixels = self.processor.image_processor(image, return_tensors="pt")["pixel_values"]
        features = self.model.get_image_features(pixel_values=pixels)
        features = getattr(features, "pooler_output", features)
        tokens = features[0] if isinstance(features, (list, tuple)) else features
        tokens = tokens.reshape(1, -1, tokens.shape[-1])
        n = tokens.shape[1]
        if self.artifact is None:
            return tokens[0], list(range(n)), n
        config = self.artifact.config
        grid = config.base_model.grid
        ratio = ratio or config.retention_ratio
        outputs = compressed_grid(grid, ratio, config.windows)
        compressed = self.artifact.mapping(tokens, grid, ratio)[0]
        if config.positions == "contiguous":
            return compressed, list(range(outputs.num_tokens)), outputs.num_tokens
        return compressed, window_positions(grid, outputs, config.windows), n

    def _embed(self, ids: list[int]) -> Tensor:
        return self.model.get_input_embeddings()(torch.tensor(ids))
