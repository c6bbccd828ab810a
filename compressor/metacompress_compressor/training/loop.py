"""The training loop: frozen LVLM with all tokens as teacher, with m tokens as student."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from metacompress_compressor.adapters import Adapter, Placement
from metacompress_compressor.artifact import Positions
from metacompress_compressor.mapping import TokenMapping
from metacompress_compressor.windows import Grid, compressed_grid, window_positions

from .checkpoint import Checkpoint
from .corpus import Corpus
from .losses import column_loss, entropy_loss, prediction_loss
from .schedule import BatchSchedule, rate_factor
from .settings import TrainSettings
from .teacher import CachedTeacher, teacher_logits


def placement_for(
    grid: Grid, retention_ratio: float, mapping: TokenMapping, positions: Positions
) -> Placement:
    """Where the mapping's outputs stand in the language model."""
    compressed = compressed_grid(grid, retention_ratio, mapping.windows)
    if positions == "contiguous":
        return Placement.contiguous(compressed.num_tokens)
    offsets = window_positions(grid, compressed, mapping.windows)
    return Placement(tuple(offsets), grid.num_tokens)


class Trainer:
    """One mapping in training. `step` is the number of steps done.

    Args:
        adapter: the frozen LVLM; its language model is in the dtype to train with.
        corpus: dialogues with features.
        teacher: gives the teacher's logits of some dialogues, by their numbers; None to compute
            them in every step.
        mapping: trained in place, float32.
        settings: of the run.
    """

    def __init__(
        self,
        adapter: Adapter,
        corpus: Corpus,
        teacher: CachedTeacher | None,
        mapping: TokenMapping,
        settings: TrainSettings,
    ) -> None:
        self._adapter = adapter
        self._corpus = corpus
        self._teacher = teacher
        self._settings = settings
        self.mapping = mapping
        self.step = 0
        self.history: list[dict[str, float]] = []
        self._schedule = BatchSchedule(
            [len(encoded.token_ids) for encoded in corpus.encoded],
            settings.batch_size,
            settings.retention_ratios,
            settings.seed,
        )
        self._optimizer = torch.optim.AdamW(_parameter_groups(mapping, settings), weight_decay=0.0)
        self._base_rates = [group["lr"] for group in self._optimizer.param_groups]

    def run(
        self, on_step: Callable[[dict[str, float]], None], should_stop: Callable[[], bool]
    ) -> None:
        """Train to the end of the settings' steps, or until `should_stop` between two steps.

        `on_step` gets the record of every step. Whatever is raised within a step leaves the state
        after the step before it, ready for a checkpoint.
        """
        while self.step < self._settings.steps and not should_stop():
            record = self._train_step(self.step)
            self.history.append(record)
            self.step += 1
            on_step(record)

    def checkpoint(self, run: dict[str, Any]) -> Checkpoint:
        return Checkpoint(
            self.step,
            self.mapping.state_dict(),
            self._optimizer.state_dict(),
            self.history,
            run,
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        self.mapping.load_state_dict(checkpoint.mapping)
        self._optimizer.load_state_dict(checkpoint.optimizer)
        self.history = list(checkpoint.history)
        self.step = checkpoint.step

    def _train_step(self, step: int) -> dict[str, float]:
        settings = self._settings
        factor = rate_factor(step, settings.steps, settings.warmup_share)
        for group, rate in zip(self._optimizer.param_groups, self._base_rates, strict=True):
            group["lr"] = rate * factor
        self._optimizer.zero_grad(set_to_none=True)
        terms = self._loss_terms(step)
        loss = (
            terms["kl"]
            + settings.entropy_weight * terms["entropy"]
            + settings.column_weight * terms["column"]
        )
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(
            self.mapping.parameters(), settings.clip or float("inf"), error_if_nonfinite=True
        )
        self._optimizer.step()
        record = {name: value.item() for name, value in terms.items()}
        return {"loss": loss.item(), **record, "gradient_norm": norm.item(), "rate": factor}

    def _loss_terms(self, step: int) -> dict[str, Tensor]:
        grid = self._adapter.grid
        ratio = self._schedule.retention_ratio(step)
        indices = self._schedule.indices(step)
        text, visual = self._corpus.batch(indices, self._adapter.device)
        if self._teacher is None:
            teacher = teacher_logits(self._adapter, text, visual)
        else:
            teacher = self._teacher(indices)
        weights = self.mapping.weights(visual, grid, ratio)
        placement = placement_for(grid, ratio, self.mapping, self._settings.positions)
        student = self._adapter.answer_logits(text, weights @ visual, placement)
        return {
            "kl": prediction_loss(student, teacher),
            "entropy": entropy_loss(weights),
            "column": column_loss(weights),
        }


def _parameter_groups(mapping: TokenMapping, settings: TrainSettings) -> list[dict[str, Any]]:
    others = [tensor for name, tensor in mapping.named_parameters() if name != "beta"]
    return [
        {"params": others, "lr": settings.learning_rate},
        {"params": [mapping.beta], "lr": settings.beta_learning_rate},
    ]
