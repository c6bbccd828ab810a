"""The training loop: batches, gradients over all processes, clipping, the optimiser's steps."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from metacompress_compressor.mapping import TokenMapping

from .checkpoint import Checkpoint
from .schedule import Schedule, ramp_factor, rate_factor
from .settings import TrainSettings
from .student import TERMS, Student
from .team import Team


class Trainer:
    """One mapping in training. `step` is the number of steps done, `seconds` what they took.

    Args:
        student: computes the loss terms of some dialogues.
        schedule: says which dialogues at which budgets.
        settings: of the run.
        team: the processes of the run; all of them hold the same state after every step.
        micro_batch: dialogues that go through the model at once, 0 for all.
    """

    def __init__(
        self,
        student: Student,
        schedule: Schedule,
        settings: TrainSettings,
        team: Team,
        micro_batch: int = 0,
    ) -> None:
        self._student = student
        self._schedule = schedule
        self._settings = settings
        self._team = team
        self._micro_batch = micro_batch
        self.mapping = student.mapping
        self.step = 0
        self.seconds = 0.0
        self.history: list[dict[str, float]] = []
        groups = _parameter_groups(self.mapping, settings)
        self._optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
        self._base_rates = [group["lr"] for group in self._optimizer.param_groups]

    def run(
        self, on_step: Callable[[dict[str, float]], None], should_stop: Callable[[], bool]
    ) -> None:
        """Train to the end of the settings' steps, or until `should_stop` between two steps.

        `on_step` gets the record of every step. Whatever is raised within a step leaves the state
        after the step before it, ready for a checkpoint.
        """
        while self.step < self._settings.steps and not self._team.any(should_stop()):
            started = time.perf_counter()
            record = self._train_step(self.step)
            self.seconds += time.perf_counter() - started
            self.history.append(record)
            self.step += 1
            on_step(record)

    def checkpoint(self, run: dict[str, Any]) -> Checkpoint:
        return Checkpoint(
            step=self.step,
            mapping=self.mapping.state_dict(),
            optimizer=self._optimizer.state_dict(),
            history=self.history,
            run=run,
            seconds=self.seconds,
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        self.mapping.load_state_dict(checkpoint.mapping)
        self._optimizer.load_state_dict(checkpoint.optimizer)
        self.history = list(checkpoint.history)
        self.step = checkpoint.step
        self.seconds = checkpoint.seconds

    def _train_step(self, step: int) -> dict[str, float]:
        settings = self._settings
        factor = rate_factor(step, settings.steps, settings.warmup_share)
        for group, rate in zip(self._optimizer.param_groups, self._base_rates, strict=True):
            group["lr"] = rate * factor
        self._optimizer.zero_grad(set_to_none=True)
        weights = self._loss_weights(step)
        sums = self._gradients(step, weights)
        norm = self._clip()
        self._optimizer.step()
        record = dict(zip(TERMS, sums.tolist(), strict=True))
        loss = float(sums @ weights)
        return {"loss": loss, **record, "gradient_norm": norm, "rate": factor}

    def _loss_weights(self, step: int) -> Tensor:
        """What each of the loss' terms counts in this step, in the order of `TERMS`."""
        settings = self._settings
        ramp = ramp_factor(step, settings.steps, settings.entropy_ramp)
        entropy = settings.entropy_weight * ramp
        return torch.tensor([1.0, entropy, settings.column_weight], dtype=torch.float64)

    def _gradients(self, step: int, weights: Tensor) -> Tensor:
        """Gradients of the whole batch into the mapping; the batch's terms, `[3]` float64."""
        try:
            sums = self._own_gradients(step, weights)
        except Exception:
            nothing = torch.zeros(len(TERMS), dtype=torch.float64)
            self._team.add_up(self.mapping, nothing, failed=True)
            raise
        return self._team.add_up(self.mapping, sums)

    def _own_gradients(self, step: int, weights: Tensor) -> Tensor:
        """This process's share of the batch, in pieces of `micro_batch` dialogues."""
        indices, ratios = self._schedule.indices(step), self._schedule.retention_ratios(step)
        batch_tokens = sum(map(self._student.num_answer_tokens, indices))
        mine = self._team.share(list(zip(indices, ratios, strict=True)))
        size = self._micro_batch or len(mine) or 1
        sums = torch.zeros(len(TERMS), dtype=torch.float64)
        for start in range(0, len(mine), size):
            piece = mine[start : start + size]
            terms = self._student.terms(piece, batch_tokens, len(indices))
            loss = (terms * weights.to(terms)).sum()
            loss.backward()  # type: ignore[no-untyped-call]
            sums += terms.detach().double().cpu()
        return sums

    def _clip(self) -> float:
        """Bound the gradient as the settings say. Returns its norm before that."""
        limit = self._settings.clip or float("inf")
        by_norm = self._settings.clip_by == "norm"
        norm = torch.nn.utils.clip_grad_norm_(
            self.mapping.parameters(),
            limit if by_norm else float("inf"),
            error_if_nonfinite=True,
        )
        if not by_norm:
            torch.nn.utils.clip_grad_value_(self.mapping.parameters(), limit)
        return norm.item()


def _parameter_groups(mapping: TokenMapping, settings: TrainSettings) -> list[dict[str, Any]]:
    others = [tensor for name, tensor in mapping.named_parameters() if name != "beta"]
    return [
        {"params": others, "lr": settings.learning_rate},
        {"params": [mapping.beta], "lr": settings.beta_learning_rate},
    ]
