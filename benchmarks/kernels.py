"""Times the mapping's operation against plain PyTorch: correctness first, then a table, then JSON.

    python -m benchmarks.kernels                              # all shapes on the GPU
    python -m benchmarks.kernels --device cpu                 # the reference, a small picture
    python -m benchmarks.kernels --device cpu --shape smoke   # seconds: does the script itself work

Nothing is timed while the operation is wrong: it is compared with fp64 at every shape, batch and
form first, and the script ends with status 1 there. A rival that is wrong is not timed either.
The rate counts the bytes that cannot be avoided: X read twice, the result written once.
`share_of_copy` is that rate over the rate of a large device copy in the same run. Records of a run
on a GPU go to benchmarks/results/, from where `benchmarks/kernels_page.py` writes the table of
docs/kernels.md.

Records have the shape of `benchmarks/records.py`, benchmark "kernels". Cell: shape, tokens, kept,
hidden, key_dim, batch, form (row_softmax or competing), method, launch (python or graph), work
(forward or forward+backward), dtype, and `refused` with the reason where nothing was timed.
Metrics: time_s (p20, p50, p80; null where refused), bytes_per_s, share_of_copy, flop_per_s,
relative_error, copy_bytes_per_s. The method "vision tower" is LLaVA-1.5's, for the aim of staying
under 1 % of it.
"""

import argparse
import functools
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.kernel_cases import (
    KEY_DIM,
    SHAPES,
    SMOKE,
    Case,
    Method,
    Shape,
    exact,
    exact_pooling,
    make_case,
    methods,
    ours,
    packed,
    relative_error,
    vision_tower,
)
from benchmarks.kernel_timing import NotCapturable, Timer, captured, copy_rate
from benchmarks.records import RESULTS, Record, append, provenance, write
from metacompress_compressor.evaluation.provenance import hardware

LARGEST_ERROR = {torch.bfloat16: 5e-3, torch.float32: 1e-5}
LARGEST_ERROR_OF_RIVALS = {torch.bfloat16: 2e-2, torch.float32: 1e-4}

Cell = dict[str, Any]
Found = tuple[Cell, dict[str, Any]]
"""What was set, and what came out."""


@dataclass(frozen=True)
class Run:
    """What every measurement of a run needs."""

    device: torch.device
    dtype: torch.dtype
    timer: Timer
    bytes_per_second: float
    stop: float

    @property
    def out_of_time(self) -> bool:
        return time.monotonic() > self.stop


def gate(shapes: list[Shape], dtype: torch.dtype, device: torch.device) -> None:
    """Ends the script if the operation is wrong anywhere it would be timed."""
    for shape in shapes:
        for batch in shape.batches:
            for competing in (False, True):
                case = make_case(shape, batch, competing, dtype, device)
                want = exact(_ends(case))
                for method in (ours, packed):
                    error = error_of(method, case, want)
                    if not error < LARGEST_ERROR[dtype]:
                        sys.exit(
                            f"wrong, so nothing is timed: {shape.name}, batch {batch}, "
                            f"{_form(competing)}: relative error {error:.2e}, "
                            f"allowed {LARGEST_ERROR[dtype]:.0e}"
                        )


def error_of(method: Method, case: Case, want: Tensor) -> float:
    """Relative error of the first and the last picture of a batch."""
    got = method(case)
    return relative_error(got[[0, -1]], want)


def _ends(case: Case) -> Case:
    return case.part([0, -1])


def measure(shape: Shape, batch: int, run: Run) -> Iterator[Found]:
    """What each form, method and way of launching gave."""
    for competing in (False, True):
        if run.out_of_time:
            yield _refused(_cell(shape, batch, competing, "all"), "out of time")
            continue
        case = make_case(shape, batch, competing, run.dtype, run.device)
        want, want_pooled = exact(_ends(case)), exact_pooling(_ends(case))
        for name, method in methods(run.device, competing).items():
            cell = _cell(shape, batch, competing, name)
            truth = want_pooled if name == "average pooling" else want
            yield from _time_method(method, case, truth, cell, run)


def _time_method(
    method: Method, case: Case, truth: Tensor, cell: Cell, run: Run
) -> Iterator[Found]:
    try:
        if run.out_of_time:
            yield _refused(cell, "out of time")
            return
        error = error_of(method, case, truth)
        if not error < LARGEST_ERROR_OF_RIVALS[run.dtype]:
            yield _refused(cell, "wrong result")
            return
        yield cell, {**_timed(lambda: method(case), case, run), "relative_error": error}
        if run.device.type == "cuda" and case.x.shape[0] == 1:
            cell = {**cell, "launch": "graph"}
            metrics = _timed(captured(lambda: method(case)), case, run)
            yield cell, {**metrics, "relative_error": error}
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        yield _refused(cell, "out of memory")
    except NotCapturable as error:
        yield _refused(cell, str(error))


def measure_training(shape: Shape, batch: int, run: Run) -> Iterator[Found]:
    """Forward and backward with gradients of the mapping's parameters, as in training."""
    if run.out_of_time:
        return
    case = make_case(shape, batch, False, run.dtype, run.device)
    leaves = {name: getattr(case, name).requires_grad_() for name in ("weight", "beta")}
    case = Case(**{**vars(case), **leaves})

    def step(method: Method) -> None:
        with torch.enable_grad():
            torch.autograd.grad(method(case).sum(), list(leaves.values()))

    for name in ("metacompress", "eager"):
        method = methods(run.device, False)[name]
        cell = {**_cell(shape, batch, False, name), "work": "forward+backward"}
        yield cell, _timed(functools.partial(step, method), case, run)


def measure_tower(run: Run) -> Iterator[Found]:
    """LLaVA-1.5's vision tower with random weights, one picture."""
    look = vision_tower(run.dtype, run.device)
    cell = {"shape": "llava-1.5", "batch": 1, "method": "vision tower", "work": "forward"}
    yield {**cell, "launch": "python"}, {"time_s": run.timer(look)}
    cell["launch"] = "graph"
    try:
        yield cell, {"time_s": run.timer(captured(look))}
    except NotCapturable as error:
        yield _refused(cell, str(error))


def _cell(shape: Shape, batch: int, competing: bool, method: str) -> Cell:
    return {
        "shape": shape.name,
        "tokens": shape.grid.num_tokens,
        "kept": shape.compressed.num_tokens,
        "hidden": shape.hidden,
        "key_dim": KEY_DIM,
        "batch": batch,
        "form": _form(competing),
        "method": method,
        "launch": "python",
        "work": "forward",
    }


def _refused(cell: Cell, reason: str) -> Found:
    return {**cell, "refused": reason}, {"time_s": None}


def _timed(call: Callable[[], object], case: Case, run: Run) -> dict[str, Any]:
    seconds = run.timer(call)
    rate = case.needed_bytes / seconds["p50"]
    return {
        "time_s": seconds,
        "bytes_per_s": rate,
        "share_of_copy": rate / run.bytes_per_second,
        "flop_per_s": case.needed_operations / seconds["p50"],
    }


def _form(competing: bool) -> str:
    return "competing" if competing else "row_softmax"


def show(records: list[Record], title: str) -> None:
    table = Table(title=title)
    columns = ("shape", "n -> m", "batch", "form", "method", "launch", "µs p50", "GB/s", "of copy")
    for column in columns:
        table.add_column(column, no_wrap=True)
    for record in records:
        cell, metrics = record.cell, record.metrics
        rated = "bytes_per_s" in metrics
        table.add_row(
            cell["shape"],
            f"{cell['tokens']} -> {cell['kept']}" if "tokens" in cell else "",
            str(cell["batch"]),
            cell.get("form", ""),
            f"{cell['method']} ({cell['work']})",
            cell["launch"],
            cell.get("refused") or f"{metrics['time_s']['p50'] * 1e6:,.1f}",
            f"{metrics['bytes_per_s'] / 1e9:.0f}" if rated else "",
            f"{metrics['share_of_copy']:.0%}" if rated else "",
        )
    Console(stderr=True, width=140).print(table)


def measurements(shapes: list[Shape], run: Run) -> Iterator[Found]:
    """All that a run gives, the most wanted first, since time may run out."""
    for shape in shapes:
        for batch in shape.batches:
            yield from measure(shape, batch, run)
        if shape.name in ("llava-1.5", SMOKE.name):
            yield from measure_training(shape, shape.batches[-1], run)
        if shape.name == "llava-1.5" and run.device.type == "cuda" and not run.out_of_time:
            yield from measure_tower(run)


@torch.no_grad()
def main(arguments: list[str] | None = None) -> None:
    args = _parser().parse_args(arguments)
    if args.device == "cuda" and not torch.cuda.is_available():
        sys.exit("this benchmark needs an NVIDIA GPU; --device cpu times the reference instead")
    stop = time.monotonic() + args.budget
    device = torch.device(args.device)
    dtype = torch.bfloat16 if args.device == "cuda" else torch.float32
    shapes = [shape for shape in (*SHAPES, SMOKE) if shape.name in _names(args)]

    gate(shapes, dtype, device)
    timer = Timer(device, args.seconds)
    run = Run(device, dtype, timer, copy_rate(timer, device), stop)
    origin, keep = provenance(device), _keeper(args, device)
    always = {"copy_bytes_per_s": run.bytes_per_second}
    records = []
    for cell, metrics in measurements(shapes, run):  # kept as they come, in case of a kill
        cell = {**cell, "dtype": str(dtype).removeprefix("torch.")}
        records.append(Record("kernels", cell, {**metrics, **always}, origin))
        keep(records[-1])
    show(records, f"{origin['hardware']['device']}, {dtype}, commit {origin['commit']}")
    if all("refused" in record.cell for record in records):
        sys.exit("nothing could be timed")


def _names(args: argparse.Namespace) -> list[str]:
    everything = [shape.name for shape in SHAPES] if args.device == "cuda" else ["embedded"]
    return args.shape or everything


def _keeper(args: argparse.Namespace, device: torch.device) -> Callable[[Record], None]:
    """Where records go: a file named by the GPU, or standard output on a CPU."""
    if args.output is None and device.type != "cuda":
        return lambda record: print(record.line(), flush=True)
    name = hardware(device)["device"].lower().replace(" ", "-")
    path = Path(args.output) if args.output else RESULTS / f"kernels-{name}.jsonl"
    write(path, [])
    return functools.partial(append, path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    names = [shape.name for shape in (*SHAPES, SMOKE)]
    parser.add_argument("--shape", choices=names, action="append")
    parser.add_argument("--seconds", type=float, default=0.2, help="for each timing (default 0.2)")
    parser.add_argument(
        "--budget", type=float, default=240, help="seconds for the whole run (default 240)"
    )
    parser.add_argument("--output", help="file for the JSON lines")
    return parser


if __name__ == "__main__":
    main()
