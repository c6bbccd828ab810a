"""What training and evaluation ask of an LVLM; one subclass for each family."""

import functools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers.modeling_layers import GradientCheckpointingLayer

from metacompress_compressor.artifact import BaseModelInfo, grid_pinpoints
from metacompress_compressor.fingerprint import model_fingerprint
from metacompress_compressor.layout import PictureLayout
from metacompress_compressor.windows import Grid

from .dialogue_text import DialogueEncoder, EncodedDialogue
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
    def grid(self) -> Grid:
        """The grid of every picture's visual tokens.

        Raises:
            AdapterError: pictures of this family have layouts of their own: ask `layout`.
        """
        if grid_pinpoints(self.model.config):
            raise AdapterError(f"pictures of {self.model_dir} have no grid in common")
        vision = self.model.config.vision_config
        side = vision.image_size // vision.patch_size
        return Grid(side, side)

    def layout(self, size: tuple[int, int]) -> PictureLayout:
        """How the tokens of a picture of `size` (width, height in pixels) are arranged.

        Raises:
            ValueError: a picture so narrow that no token of it is left.
        """
        return self._base_model.layout(*size)

    @abstractmethod
    def visual_tokens(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Vision tower and projector: `[B, N, D]` in the order of the pictures' common layout."""

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

    @functools.cached_property
    def _base_model(self) -> BaseModelInfo:
        config = self.model.config
        return BaseModelInfo(
            id=self.model_dir.resolve().name,
            fingerprint=model_fingerprint(self.model_dir),
            image_size=config.vision_config.image_size,
            patch_size=config.vision_config.patch_size,
            pinpoints=grid_pinpoints(config),
        )

    def base_model_info(self) -> BaseModelInfo:
        """What an artifact records of this checkpoint."""
        return self._base_model

    def answer_logits(
        self,
        batch: DialogueBatch,
        visual: Tensor | Sequence[Tensor],
        placement: Placement | Sequence[Placement],
    ) -> Tensor:
        """Logits of every answer token, each predicted from what stands before it.

        Args:
            batch: dialogues, on the model's device.
            visual: `[B, M, D]` visual tokens, all of a picture or a compressed set; or one
                `[M, D]` for each dialogue.
            placement: where those M stand in the language model's positions; or one for each
                dialogue.

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
        counts = torch.tensor([len(tokens) for tokens in visual], device=hidden.device)
        predicted_from = batch.answer_cols + counts[batch.answer_rows] - 2
        logits: Tensor = self.model.lm_head(hidden[batch.answer_rows, predicted_from])
        return logits

    @torch.no_grad()
    def generate(
        self, prompts: Sequence[EncodedDialogue], visual: Sequence[Tensor], max_tokens: int
    ) -> list[str]:
        """Greedy answers to some prompts, each with all of its picture's visual tokens `[N, D]`."""
        rows = []
        for prompt, tokens in zip(prompts, visual, strict=True):
            ids = torch.tensor([prompt.token_ids], device=self.device)
            image = torch.tensor([prompt.image_index], device=self.device)
            text = self.model.get_input_embeddings()(ids)
            everything = Placement.contiguous(len(tokens))
            rows.append(splice(text, tokens.unsqueeze(0), image, everything)[0].squeeze(0))
        present = [torch.ones(len(row), dtype=torch.int64, device=self.device) for row in rows]
        tokenizer = self.processor.tokenizer
        said = self.model.generate(
            inputs_embeds=pad_sequence(rows, batch_first=True, padding_side="left"),
            attention_mask=pad_sequence(present, batch_first=True, padding_side="left"),
            max_new_tokens=max_tokens,
            do_sample=False,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.eos_token_id,
        )
        return [text.strip() for text in tokenizer.batch_decode(said, skip_special_tokens=True)]

    def checkpoint_gradients(self) -> None:
        """Let the language model's layers be computed again in the backward pass, for memory.

        The layers themselves are told that they train, which is what transformers asks for; what is
        inside them stays in evaluation mode, so that no dropout sets in.
        """
        language_model = self.model.model.language_model
        language_model.gradient_checkpointing_enable({"use_reentrant": False})
        for module in language_model.modules():
            if isinstance(module, GradientCheckpointingLayer):
                module.training = True
