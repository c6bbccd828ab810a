"""Times the mapping's operation against plain PyTorch: correctness first, then a table, then JSON.

    python benchmarks/kernels.py                # all shapes on the GPU, under 8 minutes
    python benchmarks/kernels.py --device cpu   # the reference, on the embedded model's shape

Every method gets the same visual tokens and gives the compressed ones: normalisation, projections,
pooling, scores, softmax and weighted sum. Only average pooling does less. A method whose result is
wrong is not timed. GB/s counts the bytes that cannot be avoided: X read twice, the result written
once. "of copy" is that rate over the rate of a large device copy measured in the same run.
"""

import argparse
import json
import math
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, layer_norm, scaled_dot_product_attention

from metacompress_compressor.windows import Grid, compressed_grid, window_ranges
from metacompress_kernels import compress_tokens, project_tokens
from metacompress_kernels.reference import pooling_matrix

KEY_DIM = 128
RETENTION = 0.1
LARGEST_ERROR = 0.01
FLUSH_BYTES = 256 * 2**20
COPY_BYTES = 2**30

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


SHAPES = (
    Shape("embedded", Grid(16, 16), 256, (1, 16)),
    Shape("llava-1.5", Grid(24, 24), 4096, (1, 4, 16, 64)),
    Shape("llava-next", Grid(60, 48), 4096, (1, 16)),
    Shape("qwen-vl", Grid(128, 128), 3584, (1, 4)),
)


@dataclass(frozen=True)
class Case:
    """Tensors of one batch. `pooling` is the windows as a matrix, for methods that want one."""

    shape: Shape
    competing: bool
    x: Tensor
    weight: Tensor
    offset: Tensor
    beta: Tensor
    direction: Tensor
    windows: Tensor
    pooling: Tensor

    @property
    def needed_bytes(self) -> int:
        batch, _, hidden = self.x.shape
        result = batch * self.shape.compressed.num_tokens * hidden
        return (2 * self.x.numel() + result) * self.x.element_size()


def make_case(
    shape: Shape, batch: int, competing: bool, dtype: torch.dtype, device: torch.device
) -> Case:
    generator = torch.Generator(device).manual_seed(0)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, device=device)

    n, d = shape.grid.num_tokens, shape.hidden
    ranges = window_ranges(shape.grid, shape.compressed, "2d")
    windows = torch.tensor(ranges, dtype=torch.int32, device=device)
    return Case(
        shape,
        competing,
        normal(batch, n, d).to(dtype),
        (normal(d, 2 * KEY_DIM) / math.sqrt(d)).to(dtype),
        normal(n, 2 * KEY_DIM).to(dtype),
        torch.full((KEY_DIM,), 2.0, dtype=dtype, device=device),
        (normal(KEY_DIM) / math.sqrt(KEY_DIM)).to(dtype),
        windows,
        pooling_matrix(windows, n, shape.grid.cols).to(dtype),
    )


def ours(case: Case) -> Tensor:
    """The public operations, as the mapping calls them."""
    projected = project_tokens(case.x, case.weight, case.offset)
    queries, keys = projected[..., :KEY_DIM], projected[..., KEY_DIM:]
    return compress_tokens(
        case.x,
        queries,
        keys,
        case.beta,
        windows=case.windows,
        grid_cols=case.shape.grid.cols,
        token_bias=keys @ case.direction if case.competing else None,
        competing=case.competing,
    )


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
    """What is timed on a device; `eager` is what the others are compared with."""
    found: dict[str, Method] = {"metacompress": ours, "eager": eager}
    if device.type == "cuda":
        torch.compiler.reset()  # or dynamo would give up after a few shapes and run eagerly
        found["compiled"] = torch.compile(eager, dynamic=False)
    if not competing:
        found["sdpa"] = sdpa
        found["average pooling"] = average_pooling
    return found


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


def _is_float(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def relative_error(got: Tensor, want: Tensor) -> float:
    return ((got.double() - want).square().mean().sqrt() / want.square().mean().sqrt()).item()


class Timer:
    """Times a call on a device with cold caches: quantiles over repetitions, in seconds."""

    def __init__(self, device: torch.device, budget_s: float) -> None:
        self._device = device
        self._budget_s = budget_s
        self._flush = torch.empty(FLUSH_BYTES, dtype=torch.uint8, device=device)

    def __call__(self, call: Callable[[], object]) -> dict[str, float]:
        for _ in range(3):
            call()
        seconds: list[float] = []
        stop = time.perf_counter() + self._budget_s
        while len(seconds) < 10 or (time.perf_counter() < stop and len(seconds) < 200):
            self._flush.zero_()
            seconds.append(self._once(call))
        seconds.sort()
        return {f"p{p}": seconds[len(seconds) * p // 100] for p in (20, 50, 80)}

    def _once(self, call: Callable[[], object]) -> float:
        if self._device.type != "cuda":
            start = time.perf_counter()
            call()
            return time.perf_counter() - start
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        before.record()
        call()
        after.record()
        torch.cuda.synchronize()
        return before.elapsed_time(after) / 1e3


def measure_copy(timer: Timer, device: torch.device) -> float:
    """Bytes per second of a large copy, read and written."""
    source = torch.empty(COPY_BYTES // 4, dtype=torch.float32, device=device).normal_()
    target = torch.empty_like(source)
    return 2 * COPY_BYTES / timer(lambda: target.copy_(source))["p50"]


def measure_tower(timer: Timer, device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    """Seconds of LLaVA-1.5's vision tower, random weights, for one picture."""
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
    with torch.no_grad():
        return timer(lambda: tower(pixels))


def check(shape: Shape, dtype: torch.dtype, device: torch.device) -> None:
    """Refuse to time anything while a result is wrong."""
    for competing in (False, True):
        case = make_case(shape, 1, competing, dtype, device)
        want = exact(case)
        for name, method in methods(device, competing).items():
            if name == "average pooling":
                continue
            error = relative_error(method(case), want)
            if not error < LARGEST_ERROR:
                sys.exit(f"{name} is wrong on {shape.name}: relative error {error:.2e}")


def measure(
    shape: Shape, timer: Timer, copy_rate: float, dtype: torch.dtype, device: torch.device
) -> Iterator[dict[str, object]]:
    """One result for each batch, form and method of a shape."""
    for batch in shape.batches:
        for competing in (False, True):
            case = make_case(shape, batch, competing, dtype, device)
            for name, method in methods(device, competing).items():
                result: dict[str, object] = {
                    "shape": shape.name,
                    "tokens": shape.grid.num_tokens,
                    "kept": shape.compressed.num_tokens,
                    "batch": batch,
                    "form": "competing" if competing else "row_softmax",
                    "method": name,
                }
                try:
                    seconds = timer(lambda method=method, case=case: method(case))
                except torch.OutOfMemoryError:
                    yield {**result, "error": "out of memory"}
                    continue
                rate = case.needed_bytes / seconds["p50"]
                yield {**result, **seconds, "gb_per_s": rate / 1e9, "of_copy": rate / copy_rate}


def environment(device: torch.device, dtype: torch.dtype) -> dict[str, object]:
    """Hardware, versions and commit, as every result line carries them."""
    root = Path(__file__).parents[1]
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    on_gpu = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else _processor(),
        "dtype": str(dtype).removeprefix("torch."),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "commit": commit or "unknown",
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"


def show(results: list[dict[str, object]], header: dict[str, object]) -> None:
    table = Table(title=" · ".join(f"{name} {value}" for name, value in header.items()))
    for column in ("shape", "n -> m", "batch", "form", "method", "µs p50", "GB/s", "of copy"):
        table.add_column(column, no_wrap=True)
    for result in results:
        timed = "p50" in result
        table.add_row(
            str(result["shape"]),
            f"{result['tokens']} -> {result['kept']}",
            str(result["batch"]),
            str(result["form"]),
            str(result["method"]),
            f"{float(str(result['p50'])) * 1e6:,.1f}" if timed else str(result["error"]),
            f"{float(str(result['gb_per_s'])):.0f}" if timed else "",
            f"{float(str(result['of_copy'])):.0%}" if timed else "",
        )
    Console(stderr=True, width=120).print(table)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--shape", choices=[shape.name for shape in SHAPES], action="append")
    parser.add_argument("--seconds", type=float, default=0.3, help="for each timing (default 0.3)")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        sys.exit("this benchmark needs an NVIDIA GPU; --device cpu times the reference instead")
    device = torch.device(args.device)
    dtype = torch.bfloat16 if args.device == "cuda" else torch.float32
    names = args.shape or [s.name for s in SHAPES if args.device == "cuda" or s.name == "embedded"]
    shapes = [shape for shape in SHAPES if shape.name in names]

    for shape in shapes:
        check(shape, dtype, device)
    timer = Timer(device, args.seconds)
    copy_rate = measure_copy(timer, device)
    header = environment(device, dtype)
    results = [r for shape in shapes for r in measure(shape, timer, copy_rate, dtype, device)]
    if args.device == "cuda":
        tower = measure_tower(timer, device, dtype)
        results.append({"shape": "llava-1.5", "method": "vision tower", "batch": 1, **tower})
    show([result for result in results if "form" in result], header)
    for result in results:
        print(json.dumps({**result, "copy_gb_per_s": copy_rate / 1e9, **_prefixed(header)}))


def _prefixed(header: dict[str, object]) -> dict[str, object]:
    return {f"env_{name}": value for name, value in header.items()}


if __name__ == "__main__":
    main()
