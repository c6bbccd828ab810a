"""What a vision tower knows besides its output: queries and keys, for methods that rank by them."""

import torch
from torch import Tensor


class TowerLayer:
    """Queries and keys of one attention layer, before they meet.

    Args:
        queries, keys: `[B, H, 1 + N, Dh]`, the class token (CLS) first, patches in row-major order;
            used in float32, whatever the tower computes in.
    """

    def __init__(self, queries: Tensor, keys: Tensor) -> None:
        self._queries = queries.float()
        self._keys = keys.float()

    @classmethod
    def from_projections(cls, queries: Tensor, keys: Tensor, num_heads: int) -> "TowerLayer":
        """From the outputs of the layer's projections, `[B, 1 + N, H x Dh]` each."""
        head_size = queries.shape[-1] // num_heads
        split = [
            part.reshape(*part.shape[:2], num_heads, head_size).transpose(1, 2)
            for part in (queries, keys)
        ]
        return cls(*split)

    @property
    def cls_attention(self) -> Tensor:
        """How much each head's CLS attends to each patch, `[B, H, N]` float32.

        The softmax runs over CLS and patches, so a row sums to less than one.
        """
        scores = self._queries[:, :, :1] @ self._keys.transpose(-1, -2)
        attention = _softmax(scores * self._queries.shape[-1] ** -0.5)
        return attention[:, :, 0, 1:]

    @property
    def joint_cls_attention(self) -> Tensor:
        """The same with all heads' channels taken as one head, `[B, N]` float32."""
        queries, keys = _join_heads(self._queries), _join_heads(self._keys)
        scores = queries[:, :1] @ keys.transpose(-1, -2)
        return _softmax(scores * queries.shape[-1] ** -0.5)[:, 0, 1:]

    @property
    def patch_keys(self) -> Tensor:
        """Keys of the patches, heads side by side: `[B, N, H x Dh]`."""
        return _join_heads(self._keys)[:, 1:]

    @property
    def mean_patch_keys(self) -> Tensor:
        """Keys of the patches, averaged over the heads: `[B, N, Dh]`."""
        return self._keys[:, :, 1:].mean(dim=1)


class VisionContext:
    """Attention of the tower's last two layers.

    LLaVA reads the output of the last but one, so the very last is run for nothing but this.

    Args:
        last, penultimate: the layers.
    """

    def __init__(self, last: TowerLayer, penultimate: TowerLayer) -> None:
        self.last = last
        self.penultimate = penultimate


def _join_heads(tensor: Tensor) -> Tensor:
    return tensor.transpose(1, 2).flatten(2)


def _softmax(scores: Tensor) -> Tensor:
    return torch.softmax(scores, dim=-1)
