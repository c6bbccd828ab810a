"""What training and evaluation ask of an LVLM; one subclass for each family."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from metacompress_compressor.artifact import BaseModelInfo
from metacompress_compressor.fingerprint import model_fingerprint
from metacompress_compressor.windows import Grid

from .dialogue_text import DialogueEncoder
from .sequence import DialogueBatch, Placement, splice
from .vision_context import VisionContext


class AdapterError(ValueError):
    """A checkpoint that cannot be used. The message is one line."""


class Adapter(ABC):
    """A frozen LVLM: a picture's visual tokens, and the answers' logits given visual tokens.

    Args:
        model_dir: the checkpoint's folder.
        model: the transformers model, in evaluation mode.
        processor: its processor.
    """

    def __init__(self, model_dir: Path, model: Any, processor: Any) -> None:
        self.model_dir = model_dir
        self.model = model.eval().requires_grad_(requires_grad=False)
        self.processor = processor
        self.dialogues = DialogueEncoder(processor, model.config.image_token_id)

    @property
    @abstractmethod
    def grid(self) -> Grid:
        """The grid of a picture's visual tokens."""

    @abstractmethod
    def visual_tokens(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Vision tower and projector: `[B, N, D]` in row-major order."""

    def vision_context(self, pictures: Sequence[Image.Image]) -> VisionContext:
        """Queries and keys of the tower's last two layers, for baselines that rank by them.

        Raises:
            AdapterError: this family's adapter does not give them.
        """
        raise AdapterError(f"{type(self).__name__} gives no attention of its vision tower")

    def visual_tokens_at(self, pictures: Sequence[Image.Image], grid: Grid) -> Tensor:
        """Visual tokens of the pictures scaled down to `grid`, `[B, N', D]`.

        Raises:
            AdapterError: this family's tower does not take other sizes.
        """
        raise AdapterError(f"{type(self).__name__} takes no smaller pictures")

    @property
    def hidden_size(self) -> int:
        """D, channels of a visual token."""
        size: int = self.model.config.get_text_config().hidden_size
        return size

    @property
    def max_positions(self) -> int:
        """The longest dialogue, the picture's positions included."""
        positions: int = self.model.config.get_text_config().max_position_embeddings
        return positions

    @property
    def device(self) -> torch.device:
        device: torch.device = self.model.device
        return device

    def base_model_info(self) -> BaseModelInfo:
        """What an artifact records of this checkpoint."""
        vision = self.model.config.vision_config
        return BaseModelInfo(
            id=self.model_dir.resolve().name,
            fingerprint=model_fingerprint(self.model_dir),
            image_size=vision.image_size,
            patch_size=vision.patch_size,
        )

    def answer_logits(self, batch: DialogueBatch, visual: Tensor, placement: Placement) -> Tensor:
        """Logits of every answer token, each predicted from what stands before it.

        Args:
            batch: dialogues, on the model's device.
            visual: `[B, M, D]` visual tokens, all of a picture or a compressed set.
            placement: where those M stand in the language model's positions.

        Returns:
            `[A, V]` in the model's dtype, in the order of `batch.answer_ids`.
        """
        text = self.model.get_input_embeddings()(batch.token_ids)
        embeddings, positions = splice(text, visual, batch.image_index, placement)
        hidden = self.model.model.language_model(
            inputs_embeds=embeddings,
            position_ids=positions,
            # Without a mask, transformers takes gaps in the positions for borders between packed
            # sequences. Padding needs none: it stands on the right, behind a causal mask.
            attention_mask=torch.ones_like(positions),
            use_cache=False,
        ).last_hidden_state
        # Column c of the text moved by M - 1; its logits come from the place before it.
        predicted_from = batch.answer_cols + visual.shape[1] - 2
        logits: Tensor = self.model.lm_head(hidden[batch.answer_rows, predicted_from])
        return logits
