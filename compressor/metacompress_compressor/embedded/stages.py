"""The stages of training, from seeing to polishing. Each draws its own data."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from metacompress_compressor.scenes import KINDS, Scene, draw_scene, sample_dialogue, sample_scene

from .architecture import HIDDEN_SIZE, build_model, normalize_pixels, tower_features
from .initial import initialize_language_model
from .labels import LABELS, patch_labels
from .losses import answer_loss
from .sequences import SequenceBuilder
from .symbols import SymbolTable, choose_patches, stack_labels
from .tokenizer import build_tokenizer

#: Weight of all patches without an object, against 1 for all patches with one.
_EMPTY_WEIGHT = 0.3
#: Noise on symbolic patches, in units of their own standard deviation.
_SYMBOL_NOISE = 0.1


class Student(nn.Module):
    """Everything that is trained: the model, the dense heads on the tower, the symbol table."""

    def __init__(self) -> None:
        super().__init__()
        self.tokenizer: PreTrainedTokenizerFast = build_tokenizer()
        self.model: LlavaForConditionalGeneration = build_model(self.tokenizer)
        width = self.model.config.vision_config.hidden_size
        self.heads = nn.ModuleDict(
            {name: nn.Linear(width, count) for name, count in LABELS.items()}
        )
        vocab_size = self.model.config.text_config.vocab_size
        self.symbols = SymbolTable(self.tokenizer, vocab_size, HIDDEN_SIZE)
        initialize_language_model(self.model, self.tokenizer)

    def symbolic(self, labels: Tensor) -> Tensor:
        """Symbol embeddings `[B, V, d]` of labels `[B, V, len(LABELS)]`."""
        words = self.model.model.language_model.embed_tokens.weight
        embedded: Tensor = self.symbols(labels, words)
        return embedded

    def dense_loss(self, features: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy of all patches' labels, summed over kinds, and the accuracy on objects.

        Patches with and without an object weigh as wholes: else the many empty ones drown the rest.
        """
        labels = labels.flatten(0, 1)
        shown = labels[:, 0] > 0
        weight = torch.where(shown, 1.0 / shown.sum(), _EMPTY_WEIGHT / (~shown).sum())
        logits = {name: self.heads[name](features).float().flatten(0, 1) for name in LABELS}
        losses = [
            F.cross_entropy(logits[name], labels[:, column], reduction="none")
            for column, name in enumerate(LABELS)
        ]
        right = logits["object"][shown].argmax(-1) == labels[shown, 0]
        loss = (torch.stack(losses) * weight).sum()
        return loss, {"object_accuracy": right.float().mean().item()}


class Stage(Protocol):
    """One stage: what it trains, how long, and its loss at a step."""

    name: str
    steps: int
    learning_rate: float

    def parameters(self) -> Iterator[nn.Parameter]: ...

    def loss(self, rng: random.Random) -> tuple[Tensor, dict[str, float]]: ...


def _draw(scenes: list[Scene]) -> tuple[Tensor, Tensor]:
    """Pixel values `[B, 3, H, W]` and labels `[B, N, len(LABELS)]` of scenes."""
    pictures = torch.from_numpy(np.stack([draw_scene(scene) for scene in scenes]))
    labels = torch.from_numpy(np.stack([patch_labels(scene) for scene in scenes]))
    return normalize_pixels(pictures), labels


@dataclass
class TowerStage:
    """The tower learns what every patch shows: object, cell, size, middle, background."""

    student: Student
    steps: int
    batch_size: int = 16
    learning_rate: float = 1e-3
    name: str = "tower"

    def parameters(self) -> Iterator[nn.Parameter]:
        yield from self.student.model.model.vision_tower.parameters()
        yield from self.student.heads.parameters()

    def loss(self, rng: random.Random) -> tuple[Tensor, dict[str, float]]:
        pixels, labels = _draw([sample_scene(rng) for _ in range(self.batch_size)])
        return self.student.dense_loss(tower_features(self.student.model, pixels), labels)


@dataclass
class LanguageStage:
    """The language model learns to answer from symbolic pictures, shown as their chief patches."""

    student: Student
    steps: int
    batch_size: int = 32
    num_turns: int = 4
    num_patches: int = 12
    varied: bool = False
    learning_rate: float = 2e-3
    name: str = "language"

    def __post_init__(self) -> None:
        self._builder = SequenceBuilder(self.student.tokenizer)
        # The fused kernel's backward is slow on CPUs for sequences this short.
        self.student.model.model.language_model.set_attn_implementation("eager")

    def parameters(self) -> Iterator[nn.Parameter]:
        yield from self.student.model.model.language_model.parameters()
        yield from self.student.model.lm_head.parameters()
        yield from self.student.symbols.parameters()

    def loss(self, rng: random.Random) -> tuple[Tensor, dict[str, float]]:
        dialogues = [sample_dialogue(rng, self.num_turns) for _ in range(self.batch_size)]
        labels = [patch_labels(dialogue.scene) for dialogue in dialogues]
        patches = [choose_patches(rows, self.num_patches, rng) for rows in labels]
        turns = [dialogue.turns for dialogue in dialogues]
        batch = self._builder.batch(turns, patches, rng if self.varied else None)
        visual = self.student.symbolic(stack_labels(labels, patches))
        noise = _SYMBOL_NOISE * visual.detach().std() * torch.randn_like(visual)
        loss, accuracy = answer_loss(self.student.model, batch, visual + noise)
        return loss, {"token_accuracy": accuracy}


def dialogue_stage(student: Student, steps: int) -> LanguageStage:
    """The language stage with many patches and turns, system prompts and long distances."""
    return LanguageStage(
        student,
        steps,
        batch_size=16,
        num_turns=12,
        num_patches=48,
        varied=True,
        learning_rate=1e-3,
        name="dialogue",
    )


@dataclass
class AlignmentStage:
    """The projector learns to give the symbolic embeddings of what the trained tower sees."""

    student: Student
    steps: int
    batch_size: int = 32
    learning_rate: float = 2e-3
    name: str = "alignment"

    def parameters(self) -> Iterator[nn.Parameter]:
        yield from self.student.model.model.multi_modal_projector.parameters()

    def loss(self, rng: random.Random) -> tuple[Tensor, dict[str, float]]:
        pixels, labels = _draw([sample_scene(rng) for _ in range(self.batch_size)])
        with torch.no_grad():
            features = tower_features(self.student.model, pixels)
            target = self.student.symbolic(labels)
        visual = self.student.model.model.multi_modal_projector(features).float()
        error = F.mse_loss(visual, target) / target.var()
        return error, {}


@dataclass
class JointStage:
    """All parts learn together from pixels and dialogues; the dense loss keeps the tower sharp."""

    student: Student
    steps: int
    batch_size: int = 16
    num_turns: int = 12
    dense_weight: float = 0.1
    learning_rate: float = 5e-4
    kinds: Sequence[str] | None = None
    name: str = "joint"

    def __post_init__(self) -> None:
        self._builder = SequenceBuilder(self.student.tokenizer)
        self.student.model.model.language_model.set_attn_implementation("sdpa")

    def parameters(self) -> Iterator[nn.Parameter]:
        yield from self.student.model.parameters()
        yield from self.student.heads.parameters()

    def loss(self, rng: random.Random) -> tuple[Tensor, dict[str, float]]:
        dialogues = [
            sample_dialogue(rng, self.num_turns, kinds=self.kinds) for _ in range(self.batch_size)
        ]
        pixels, labels = _draw([dialogue.scene for dialogue in dialogues])
        features = tower_features(self.student.model, pixels)
        dense, metrics = self.student.dense_loss(features, labels)
        visual = self.student.model.model.multi_modal_projector(features)
        batch = self._builder.batch([dialogue.turns for dialogue in dialogues], rng=rng)
        loss, accuracy = answer_loss(self.student.model, batch, visual)
        return loss + self.dense_weight * dense, {"token_accuracy": accuracy, **metrics}


def polish_stage(student: Student, steps: int) -> JointStage:
    """The joint stage again, gently, asking more of what is learned last."""
    kinds = [*KINDS, "count_category", "count_category", "neighbour", "exists"]
    return JointStage(student, steps, kinds=kinds, learning_rate=3e-4, name="polish")
