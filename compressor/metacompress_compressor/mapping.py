"""The learned mapping from a picture's n visual tokens to m, from the picture alone."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from metacompress_kernels import (
    compress_tokens,
    compress_tokens_ragged,
    compression_weights,
    pool_windows,
    project_tokens,
)

from .derived_tensors import DerivedTensors
from .position_code import PositionCode, projected_position_code
from .window_tensors import budget_features, packed_windows, window_tensor
from .windows import Grid, WindowKind, compressed_grid, pooling_grid

Method = Literal["row_softmax", "competing"]
TokenNorm = Literal["none", "layer_norm"]
Conditioning = Literal["none", "budget"]

_NORM_EPS = 1e-5


class TokenMapping(nn.Module):
    """`X~ = P X` with `P = softmax_rows(pool(Z Wq) diag(beta) (Z Wk)^T / sqrt(Dc))`.

    Z is X, normalised per token if asked, plus a position code; the values stay X. With
    `method="competing"` the outputs first compete for every token, and a learned direction `u`
    weighs token j by `exp(k_j . u)`. With `conditioning="budget"` a query q becomes
    `q (1 + f S) + f T`, with `f = (b, b^2)` and `b = ln(10 m / n)`: one mapping for all budgets may
    look for other things where an output stands for more of the picture.

    `Wq = Wk ~ N(0, 1 / D)` at the start, so the scores are positive semi-definite and P starts as
    soft local pooling; `calibration.calibrate_beta` sets how soft.

    Args:
        hidden_size: D, channels of a visual token.
        key_dim: Dc, channels of queries and keys.
        method: `row_softmax` (the paper's) or `competing`.
        windows: `1d` (the paper's) or `2d`.
        code: position code added to Z.
        token_norm: `layer_norm` keeps content and place comparable, whatever the projector's scale;
            `none` is the paper's.
        conditioning: `budget` lets queries depend on m / n; `none` is the paper's.

    Source: arXiv 2603.21701, equations in the section "Method"; competing form, 2-D windows,
    normalisation and conditioning are this project's.
    """

    def __init__(
        self,
        hidden_size: int,
        key_dim: int = 128,
        *,
        method: Method = "row_softmax",
        windows: WindowKind = "2d",
        code: PositionCode = "sinusoidal_2d",
        token_norm: TokenNorm = "layer_norm",
        conditioning: Conditioning = "none",
    ) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.key_dim = key_dim
        self.method: Method = method
        self.windows: WindowKind = windows
        self.code: PositionCode = code
        self.token_norm: TokenNorm = token_norm
        self.conditioning: Conditioning = conditioning
        projection = torch.randn(hidden_size, key_dim) * hidden_size**-0.5
        self.query_projection = nn.Parameter(projection)
        self.key_projection = nn.Parameter(projection.clone())
        self.beta = nn.Parameter(torch.ones(key_dim))
        self.token_direction = nn.Parameter(torch.zeros(key_dim)) if self.competing else None
        # S and T above; at zero, where they start, the budget changes nothing.
        self.budget_scale = nn.Parameter(torch.zeros(2, key_dim)) if self.conditioned else None
        self.budget_shift = nn.Parameter(torch.zeros(2, key_dim)) if self.conditioned else None
        self._derived = DerivedTensors()

    @property
    def competing(self) -> bool:
        return self.method == "competing"

    @property
    def conditioned(self) -> bool:
        return self.conditioning == "budget"

    def forward(self, x: Tensor, grid: Grid, retention_ratio: float) -> Tensor:
        """Compress every picture of a batch.

        Args:
            x: `[B, N, D]` projected visual tokens in row-major order.
            grid: their grid, the same for the whole batch.
            retention_ratio: the kept share in (0, 1]; 1 returns `x` itself.

        Returns:
            `[B, M, D]` in the dtype of `x`.

        Raises:
            ValueError: `x` does not match the grid or the hidden size.
        """
        self._check(x, grid)
        compressed = compressed_grid(grid, retention_ratio, self.windows)
        if compressed.num_tokens == grid.num_tokens:
            return x
        if _one_by_one(x):
            return torch.cat([self._compress(one, grid, compressed) for one in x.unsqueeze(1)])
        return self._compress(x, grid, compressed)

    def compress_each(
        self, x: Tensor, grid: Grid, retention_ratios: Sequence[float]
    ) -> list[Tensor]:
        """Compress the pictures of a batch to budgets of their own, in the same launches.

        Args:
            x, grid: as `forward`.
            retention_ratios: B kept shares in (0, 1]; 1 gives the picture's own tokens.

        Returns:
            B tensors `[M, D]` in the dtype of `x`: what `forward` gives for each alone, on CUDA up
            to rounding.

        Raises:
            ValueError: as `forward`, or not as many ratios as pictures.
        """
        self._check(x, grid)
        if len(retention_ratios) != len(x):
            raise ValueError(f"{len(x)} pictures, but {len(retention_ratios)} ratios")
        if len(set(retention_ratios)) == 1:
            return list(self(x, grid, retention_ratios[0]))
        grids = (compressed_grid(grid, ratio, self.windows) for ratio in retention_ratios)
        smaller = tuple(small if small.num_tokens < grid.num_tokens else None for small in grids)
        if not any(smaller):
            return list(x)
        sizes = [small.num_tokens if small else 0 for small in smaller]
        pieces = torch.split(self._packed(x, grid, smaller), sizes)
        # Copied, or a picture that is kept would keep the tokens of all others in memory.
        return [piece if len(piece) else one.clone() for piece, one in zip(pieces, x, strict=True)]

    def _packed(self, x: Tensor, grid: Grid, compressed: tuple[Grid | None, ...]) -> Tensor:
        """Outputs of all pictures one after another; None for a picture that gets none."""
        queries, keys, token_bias = self._project(x, grid, compressed)
        windows = packed_windows(grid, compressed, self.windows, x.device)
        return compress_tokens_ragged(
            x.flatten(0, 1),
            queries.flatten(0, 1),
            keys.flatten(0, 1),
            self.beta,
            windows.cu_tokens,
            windows.cu_outputs,
            grid.num_tokens,
            windows.max_outputs,
            windows=windows.ranges,
            grid_cols=windows.grid_cols,
            token_bias=None if token_bias is None else token_bias.flatten(),
            competing=self.competing,
        )

    def weights(self, x: Tensor, grid: Grid, retention_ratio: float) -> Tensor:
        """P itself, for training losses and for looking inside.

        Args and Raises as `forward`.

        Returns:
            `[B, M, N]` float32, not negative, rows sum to one.
        """
        self._check(x, grid)
        compressed = compressed_grid(grid, retention_ratio, self.windows)
        if compressed.num_tokens == grid.num_tokens:
            return torch.eye(grid.num_tokens, device=x.device).expand(x.shape[0], -1, -1)
        queries, keys, token_bias = self._project(x, grid, (compressed,))
        windows, grid_cols = self._windows(grid, compressed, x.device)
        return compression_weights(
            pool_windows(queries, windows, grid_cols),
            keys,
            self.beta,
            token_bias=token_bias,
            competing=self.competing,
        )

    def _compress(self, x: Tensor, grid: Grid, compressed: Grid) -> Tensor:
        queries, keys, token_bias = self._project(x, grid, (compressed,))
        windows, grid_cols = self._windows(grid, compressed, x.device)
        return compress_tokens(
            x,
            queries,
            keys,
            self.beta,
            windows=windows,
            grid_cols=grid_cols,
            token_bias=token_bias,
            competing=self.competing,
        )

    def _project(
        self, x: Tensor, grid: Grid, compressed: tuple[Grid | None, ...]
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Queries and keys of all tokens, `[B, N, Dc]` each, and the bias `[B, N]`.

        Queries are pooled after their projection, which is linear: one pass over X gives both.
        `compressed` has the outputs of all pictures, or of each.
        """
        weight, code, column_sum = self._projection(grid)
        eps = _NORM_EPS if self.token_norm == "layer_norm" else None
        pictures = torch.split(x, 1) if _one_by_one(x) else (x,)
        parts = [
            project_tokens(part, weight, code, eps=eps, column_sum=column_sum) for part in pictures
        ]
        projected = parts[0] if len(parts) == 1 else torch.cat(parts)
        queries, keys = torch.split(projected, self.key_dim, dim=-1)
        queries = self._conditioned_queries(queries, grid, compressed)
        if self.token_direction is None:
            return queries, keys, None
        # In fp32: rounded to bf16, the logarithm of a weight would be off by more than all else.
        return queries, keys, keys.float() @ self.token_direction.float()

    def _conditioned_queries(
        self, queries: Tensor, grid: Grid, compressed: tuple[Grid | None, ...]
    ) -> Tensor:
        if self.budget_scale is None or self.budget_shift is None:
            return queries
        of_scale, of_shift = self.budget_scale, self.budget_shift

        def make() -> tuple[Tensor, ...]:  # [B, 1, Dc] each, or of one budget for all [1, 1, Dc]
            features = budget_features(grid, compressed, of_scale.device)
            features = features.to(of_scale.dtype).unsqueeze(1)
            return 1 + features @ of_scale, features @ of_shift

        scale, shift = self._derived.get((grid, compressed), self, make)
        return torch.addcmul(shift.to(queries.dtype), queries, scale.to(queries.dtype))

    def _projection(self, grid: Grid) -> tuple[Tensor, ...]:
        """`W = [Wq | Wk]` `[D, 2 Dc]`, the projected position code `[N, 2 Dc]`, W's sums over D."""
        return self._derived.get(grid, self, lambda: self._fresh_projection(grid))

    def _fresh_projection(self, grid: Grid) -> tuple[Tensor, ...]:
        weight = torch.cat([self.query_projection, self.key_projection], dim=1)
        code = projected_position_code(grid, weight, self.code)
        # Without gradients of their own: the operation's are those of the formula without sums.
        return weight, code, weight.detach().sum(dim=0, dtype=torch.float32)

    def _windows(self, grid: Grid, compressed: Grid, device: torch.device) -> tuple[Tensor, int]:
        """The windows' ranges and the length of the rows that they count in."""
        source = pooling_grid(grid, compressed, self.windows)
        return window_tensor(grid, compressed, self.windows, device), source.cols

    def _check(self, x: Tensor, grid: Grid) -> None:
        if x.ndim != 3 or x.shape[1:] != (grid.num_tokens, self.hidden_size):
            raise ValueError(
                f"visual tokens must be [B, {grid.num_tokens}, {self.hidden_size}] "
                f"for {grid}, not {tuple(x.shape)}"
            )


def _one_by_one(x: Tensor) -> bool:
    """On a CPU without gradients, where matrix libraries round differently for other batch sizes:
    so a picture's bits never depend on those beside it. Kernels for CUDA only choose their blocks
    by the size of the batch."""
    return x.shape[0] > 1 and not x.is_cuda and not torch.is_grad_enabled()
