"""What the kernel benchmark times: pictures of model families, and ways to compress them.

Every method gets the same visual tokens and gives the compressed ones: normalisation, projections,
pooling, scores, softmax and weighted sum. Only average pooling does less.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, layer_norm, scaled_dot_product_attention

from metacompress_compressor.window_tensors import packed_windows
from metacompress_compressor.windows import Grid, compressed_grid, window_ranges
from metacompress_kernels import compress_tokens, compress_tokens_ragged, project_tokens
from metacompress_kernels.reference import pooling_matrix

KEY_DIM = 128
RETENTION = 0.1

Method = Callable[["Case"], Tensor]


@dataclass(frozen=True)
class Shape:
    """A picture of a model family."""

    name: str
    grid: Grid
    hidden: int
    batches: tuple[int, ...]

    @property
    def compressed(self) -> Grid:
        return compressed_grid(self.grid, RETENTION, "2d")


SMOKE = Shape("smoke", Grid(6, 7), 64, (1, 3))
SHAPES = (
    Shape("llava-1.5", Grid(24, 24), 4096, (1, 4, 16, 64)),
    Shape("llava-next", Grid(60, 48), 4096, (1, 4, 16, 64)),
    Shape("qwen-vl", Grid(128, 128), 3584, (1, 4, 16, 64)),
    Shape("embedded", Grid(16, 16), 256, (1, 16)),
)


@dataclass(frozen=True)
class Case:
    """Tensors of one batch. `pooling` is the windows as a matrix, for methods that want one."""

    shape: Shape
    competing: bool
    x: Tensor
    weight: Tensor
    column_sum: Tensor
    offset: Tensor
    beta: Tensor
    direction: Tensor
    windows: Tensor
    pooling: Tensor

    @property
    def needed_bytes(self) -> int:
        """What cannot be avoided: X read for its projection and as values, the result written."""
        batch, _, hidden = self.x.shape
        result = batch * self.shape.compressed.num_tokens * hidden
        return (2 * self.x.numel() + result) * self.x.element_size()

    @property
    def needed_operations(self) -> int:
        """Two projections of every token, scores, weighted sum; a product and a sum count two."""
        batch, n, d = self.x.shape
        m = self.shape.compressed.num_tokens
        return batch * (4 * n * d * KEY_DIM + 2 * m * n * (d + KEY_DIM))

    def part(self, pictures: list[int]) -> "Case":
        """The case of some of the pictures."""
        return Case(**{**vars(self), "x": self.x[pictures]})


def make_case(
    shape: Shape, batch: int, competing: bool, dtype: torch.dtype, device: torch.device
) -> Case:
    generator = torch.Generator(device).manual_seed(0)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, device=device)

    n, d = shape.grid.num_tokens, shape.hidden
    ranges = window_ranges(shape.grid, shape.compressed, "2d")
    windows = torch.tensor(ranges, dtype=torch.int32, device=device)
    x = torch.empty(batch, n, d, dtype=dtype, device=device)
    for picture in x:  # one at a time: a whole large batch in fp32 would need twice the memory
        picture.copy_(normal(n, d))
    weight = (normal(d, 2 * KEY_DIM) / math.sqrt(d)).to(dtype)
    return Case(
        shape,
        competing,
        x,
        weight,
        weight.sum(dim=0, dtype=torch.float32),
        normal(n, 2 * KEY_DIM).to(dtype),
        torch.full((KEY_DIM,), 2.0, dtype=dtype, device=device),
        (normal(KEY_DIM) / math.sqrt(KEY_DIM)).to(dtype),
        windows,
        pooling_matrix(windows, n, shape.grid.cols).to(dtype),
    )


def ours(case: Case) -> Tensor:
    """The public operations, as the mapping calls them."""
    queries, keys, token_bias = _our_projections(case)
    return compress_tokens(
        case.x,
        queries,
        keys,
        case.beta,
        windows=case.windows,
        grid_cols=case.shape.grid.cols,
        token_bias=token_bias,
        competing=case.competing,
    )


def packed(case: Case) -> Tensor:
    """The same by the operation for pictures with budgets of their own, here all the same."""
    queries, keys, token_bias = _our_projections(case)
    grid, pictures = case.shape.grid, case.x.shape[0]
    windows = packed_windows(grid, (case.shape.compressed,) * pictures, "2d", case.x.device)
    compressed = compress_tokens_ragged(
        case.x.flatten(0, 1),
        queries.flatten(0, 1),
        keys.flatten(0, 1),
        case.beta,
        windows.cu_tokens,
        windows.cu_outputs,
        grid.num_tokens,
        windows.max_outputs,
        windows=windows.ranges,
        grid_cols=windows.grid_cols,
        token_bias=None if token_bias is None else token_bias.flatten(),
        competing=case.competing,
    )
    return compressed.unflatten(0, (pictures, -1))


def _our_projections(case: Case) -> tuple[Tensor, Tensor, Tensor | None]:
    projected = project_tokens(case.x, case.weight, case.offset, column_sum=case.column_sum)
    queries, keys = torch.split(projected, KEY_DIM, dim=-1)
    return queries, keys, keys.float() @ case.direction.float() if case.competing else None


def eager(case: Case) -> Tensor:
    """Plain PyTorch, written as one would for speed: half-precision products, fp32 softmax."""
    queries, keys, bias = _eager_projections(case)
    scores = (queries @ keys.transpose(1, 2)).float()
    if case.competing:
        scores = scores - scores.logsumexp(dim=1, keepdim=True) + bias.unsqueeze(1)
    return scores.softmax(dim=-1).to(case.x.dtype) @ case.x


def sdpa(case: Case) -> Tensor:
    """PyTorch's fused attention behind eager projections; row softmax only."""
    queries, keys, _ = _eager_projections(case)
    return scaled_dot_product_attention(queries, keys, case.x, scale=1.0)


def average_pooling(case: Case) -> Tensor:
    """No scores at all: the floor of what a reduction costs."""
    grid, compressed = case.shape.grid, case.shape.compressed
    picture = case.x.transpose(1, 2).unflatten(2, (grid.rows, grid.cols))
    return adaptive_avg_pool2d(picture, (compressed.rows, compressed.cols)).flatten(2).mT


def _eager_projections(case: Case) -> tuple[Tensor, Tensor, Tensor]:
    normalised = layer_norm(case.x, (case.x.shape[-1],))
    queries, keys = (normalised @ case.weight + case.offset).split(KEY_DIM, dim=-1)
    pooled = (case.pooling @ queries) * (case.beta / math.sqrt(KEY_DIM))
    return pooled, keys, keys @ case.direction


def methods(device: torch.device, competing: bool) -> dict[str, Method]:
    """What is timed on a device; our own comes first."""
    found: dict[str, Method] = {"metacompress": ours, "metacompress packed": packed}
    found["eager"] = eager
    if device.type == "cuda":
        torch.compiler.reset()  # or dynamo would give up after a few shapes and run eagerly
        found["compiled"] = torch.compile(eager, dynamic=False)
    if not competing:
        found["sdpa"] = sdpa
        found["average pooling"] = average_pooling
    return found


def vision_tower(dtype: torch.dtype, device: torch.device) -> Callable[[], object]:
    """LLaVA-1.5's vision tower with random weights, looking at one picture."""
    from transformers import CLIPVisionConfig, CLIPVisionModel

    config = CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=336,
        patch_size=14,
    )
    tower = CLIPVisionModel(config).to(device, dtype).eval()
    pixels = torch.randn(1, 3, 336, 336, device=device, dtype=dtype)
    return lambda: tower(pixels)


def exact(case: Case) -> Tensor:
    """The formula in fp64, on the case's own rounded inputs."""
    wide = {name: value.double() for name, value in vars(case).items() if _is_float(value)}
    wide["pooling"] = pooling_matrix(
        case.windows, case.x.shape[1], case.shape.grid.cols, dtype=torch.float64
    )
    case = Case(**{**vars(case), **wide})
    queries, keys, bias = _eager_projections(case)
    scores = queries @ keys.transpose(1, 2)
    if case.competing:
        scores = scores.log_softmax(dim=1) + bias.unsqueeze(1)
    return scores.softmax(dim=-1) @ case.x


def exact_pooling(case: Case) -> Tensor:
    """The truth of `average_pooling`."""
    n, cols = case.x.shape[1], case.shape.grid.cols
    return pooling_matrix(case.windows, n, cols, dtype=torch.float64) @ case.x.double()


def relative_error(got: Tensor, want: Tensor) -> float:
    """Root mean square of the error over that of the truth."""
    return ((got.double() - want).square().mean().sqrt() / want.square().mean().sqrt()).item()


def _is_float(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()
