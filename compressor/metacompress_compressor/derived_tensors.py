"""Tensors that follow from a module's parameters, made once for all pictures that are served."""

from collections.abc import Callable, Hashable

import torch
from torch import Tensor, nn

_MOST_KEPT = 64


class DerivedTensors:
    """Keeps what is computed from a module's parameters until one of them changes.

    Only where no gradient is wanted: a server needs the same tensors for every picture, and making
    them takes as many launches as the mapping itself.
    """

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[Tensor, ...]] = {}
        self._state: tuple[object, ...] = ()

    def get(
        self, key: Hashable, module: nn.Module, make: Callable[[], tuple[Tensor, ...]]
    ) -> tuple[Tensor, ...]:
        """What `make` gives; `key` tells it from what else is made of the same `module`."""
        parameters = tuple(module.parameters())
        if (
            torch.is_grad_enabled()
            or torch.compiler.is_compiling()
            or any(parameter.is_inference() for parameter in parameters)  # have no version
        ):
            return make()
        state = tuple((p.data_ptr(), p._version, p.dtype, p.device) for p in parameters)
        if state != self._state:
            self._kept, self._state = {}, state
        if key not in self._kept:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[key] = make()
        return self._kept[key]
