"""The processes of one run, by Hugging Face accelerate: one for each GPU, or a single one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Self, TypeVar

import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from torch import Tensor, nn

from .settings import SettingsError

T = TypeVar("T")

# The first process computes visual tokens of a whole corpus while the others wait.
_LONGEST_WAIT = timedelta(hours=24)


class TeamError(RuntimeError):
    """Another process of the run has failed; its own message says why."""


class Team:
    """Splits each batch over the processes of a run and adds up their gradients.

    Start several with `accelerate launch` or `torchrun`; without them there is one process and
    every method is trivial. A context manager: a process that ends without leaving its team is
    aborted now and then by a thread of the process group that still runs.

    Args:
        device: torch device of a single process; of several, its type alone.

    Raises:
        SettingsError: a device that is not there, or one by number for several processes.
    """

    def __init__(self, device: str) -> None:
        wanted = _checked(device)
        self.accelerator = Accelerator(
            cpu=wanted.type == "cpu",
            mixed_precision="no",  # the run's own setting decides, not the launcher's
            kwargs_handlers=[InitProcessGroupKwargs(timeout=_LONGEST_WAIT)],
        )
        self.size: int = self.accelerator.num_processes
        self.rank: int = self.accelerator.process_index
        if self.size > 1 and wanted.index is not None:
            raise SettingsError(f"several processes choose their devices: not device {device}")
        self.device = wanted if self.size == 1 else self.accelerator.device

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.accelerator.end_training()

    @property
    def is_main(self) -> bool:
        """Whether this process writes the run's files."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> list[T]:
        """This process's part of a batch."""
        return list(items[self.rank :: self.size])

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """The main process goes through the block before the others: it fills the caches."""
        with self.accelerator.main_process_first():
            yield

    def any(self, flag: bool) -> bool:
        """Whether `flag` is set in any process."""
        if self.size == 1:
            return flag
        return bool(self._sum(torch.tensor([float(flag)], device=self.device)).item())

    def add_up(self, module: nn.Module, sums: Tensor, *, failed: bool = False) -> Tensor:
        """Sum gradients, and `sums`, over all processes; every process calls this once per step.

        Args:
            module: its gradients are replaced by their sums; a missing one counts as zero.
            sums: `[S]` float64 figures of this process.
            failed: whether this process could not do its part.

        Returns:
            The summed figures.

        Raises:
            TeamError: another process has failed.
        """
        if self.size == 1:
            return sums
        parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        parts = [
            torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten()
            for p in parameters
        ]
        state = torch.tensor([float(failed)], dtype=torch.float64, device=self.device)
        figures = self._sum(torch.cat([sums.to(self.device), state]))
        if figures[-1] and not failed:
            raise TeamError("another process of this run has failed")
        if not failed:
            gradients = self._sum(torch.cat(parts))
            sizes = [parameter.numel() for parameter in parameters]
            for parameter, gradient in zip(parameters, torch.split(gradients, sizes), strict=True):
                parameter.grad = gradient.view_as(parameter).clone()
        return figures[:-1].cpu()

    def _sum(self, tensor: Tensor) -> Tensor:
        total: Tensor = self.accelerator.reduce(tensor, reduction="sum")
        return total


def _checked(device: str) -> torch.device:
    try:
        wanted = torch.device(device)
    except RuntimeError as error:
        raise SettingsError(f"device {device!r} is none that torch knows") from error
    if wanted.type == "cuda" and not torch.cuda.is_available():
        raise SettingsError(f"there is no device {device} on this machine")
    return wanted
