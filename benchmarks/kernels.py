"""Times the mapping's operation against plain PyTorch: correctness first, then a table, then JSON.

    python benchmarks/kernels.py                              # all shapes on the GPU
    python benchmarks/kernels.py --device cpu                 # the reference, a small picture
    python benchmarks/kernels.py --device cpu --shape smoke   # seconds: does the script itself work

Nothing is timed while the operation is wrong: it is compared with fp64 at every shape, batch and
form first, and the script ends with status 1 there. A rival that is wrong is not timed either.
GB/s counts the bytes that cannot be avoided: X read twice, the result written once. "of copy" is
that rate over the rate of a large device copy in the same run. Lines of a run on a GPU go to
benchmarks/results/, from where `benchmarks/kernels_page.py` writes the table of docs/kernels.md.

One JSON object for each line: shape, tokens, kept, hidden, key_dim, batch, form (row_softmax or
competing), method, launch (python or graph), work (forward or forward+backward), relative_error,
then either p20, p50, p80 (seconds), gb_per_s, of_copy, tflop_per_s, or `refused` with the reason;
copy_gb_per_s; and device, dtype, torch, triton, cuda, python, commit, date.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from kernel_cases import (
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
    relative_error,
)
from kernel_timing import NotCapturable, Timer, captured, copy_rate
from rich.console import Console
from rich.table import Table
from torch import Tensor

from metacompress_compressor.evaluation.provenance import commit, hardware, versions

LARGEST_ERROR = {torch.bfloat16: 5e-3, torch.float32: 1e-5}
LARGEST_ERROR_OF_RIVALS = {torch.bfloat16: 2e-2, torch.float32: 1e-4}
RESULTS = Path(__file__).parent / "results"

Record = dict[str, object]


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
                error = error_of(ours, case, exact(_ends(case)))
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


def measure(shape: Shape, batch: int, run: Run) -> Iterator[Record]:
    """One record for each form, method and way of launching."""
    for competing in (False, True):
        if run.out_of_time:
            yield {**_record(shape, batch, competing, "all"), "refused": "out of time"}
            continue
        case = make_case(shape, batch, competing, run.dtype, run.device)
        want, want_pooled = exact(_ends(case)), exact_pooling(_ends(case))
        for name, method in methods(run.device, competing).items():
            record = _record(shape, batch, competing, name)
            truth = want_pooled if name == "average pooling" else want
            yield from _time_method(method, case, truth, record, run)


def _time_method(
    method: Method, case: Case, truth: Tensor, record: Record, run: Run
) -> Iterator[Record]:
    try:
        if run.out_of_time:
            yield {**record, "refused": "out of time"}
            return
        error = error_of(method, case, truth)
        record = {**record, "relative_error": error}
        if not error < LARGEST_ERROR_OF_RIVALS[run.dtype]:
            yield {**record, "refused": "wrong result"}
            return
        yield _timed(lambda: method(case), case, record, run)
        if run.device.type == "cuda" and case.x.shape[0] == 1:
            record = {**record, "launch": "graph"}
            yield _timed(captured(lambda: method(case)), case, record, run)
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        yield {**record, "refused": "out of memory"}
    except NotCapturable as error:
        yield {**record, "refused": str(error)}


def measure_training(shape: Shape, batch: int, run: Run) -> Iterator[Record]:
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
        record = {**_record(shape, batch, False, name), "work": "forward+backward"}
        yield _timed(lambda method=method: step(method), case, record, run)


def measure_tower(run: Run) -> Iterator[Record]:
    """LLaVA-1.5's vision tower with random weights, one picture."""
    # Python looks for modules beside a script first, where transformers, which knows a package
    # called `kernels`, would find this file.
    sys.path[:] = [path for path in sys.path if Path(path).resolve() != Path(__file__).parent]
    from transformers import CLIPVisionConfig, CLIPVisionModel

    config = CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=336,
        patch_size=14,
    )
    tower = CLIPVisionModel(config).to(run.device, run.dtype).eval()
    pixels = torch.randn(1, 3, 336, 336, device=run.device, dtype=run.dtype)
    record = {"shape": "llava-1.5", "batch": 1, "method": "vision tower", "work": "forward"}
    yield {**record, "launch": "python", **run.timer(lambda: tower(pixels))}
    record["launch"] = "graph"
    try:
        yield {**record, **run.timer(captured(lambda: tower(pixels)))}
    except NotCapturable as error:
        yield {**record, "refused": str(error)}


def _record(shape: Shape, batch: int, competing: bool, method: str) -> Record:
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


def _timed(call: Callable[[], object], case: Case, record: Record, run: Run) -> Record:
    seconds = run.timer(call)
    rate = case.needed_bytes / seconds["p50"]
    return {
        **record,
        **seconds,
        "gb_per_s": rate / 1e9,
        "of_copy": rate / run.bytes_per_second,
        "tflop_per_s": case.needed_operations / seconds["p50"] / 1e12,
    }


def _form(competing: bool) -> str:
    return "competing" if competing else "row_softmax"


def origin(device: torch.device, dtype: torch.dtype) -> Record:
    """Hardware, versions and commit, as every line carries them."""
    try:
        triton = version("triton")
    except PackageNotFoundError:
        triton = "none"
    return {
        **hardware(device),
        **versions(),
        "dtype": str(dtype).removeprefix("torch."),
        "triton": triton,
        "cuda": torch.version.cuda,
        "commit": commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def show(records: list[Record], title: str) -> None:
    table = Table(title=title)
    columns = ("shape", "n -> m", "batch", "form", "method", "launch", "µs p50", "GB/s", "of copy")
    for column in columns:
        table.add_column(column, no_wrap=True)
    for record in records:
        timed = "gb_per_s" in record
        table.add_row(
            str(record["shape"]),
            f"{record['tokens']} -> {record['kept']}" if "tokens" in record else "",
            str(record["batch"]),
            str(record.get("form", "")),
            f"{record['method']} ({record['work']})",
            str(record["launch"]),
            f"{_number(record['p50']) * 1e6:,.1f}" if "p50" in record else str(record["refused"]),
            f"{_number(record['gb_per_s']):.0f}" if timed else "",
            f"{_number(record['of_copy']):.0%}" if timed else "",
        )
    Console(stderr=True, width=140).print(table)


def _number(value: object) -> float:
    return float(str(value))


def measurements(shapes: list[Shape], run: Run) -> Iterator[Record]:
    """All records of a run, the most wanted first, since time may run out."""
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
    rest = {"copy_gb_per_s": run.bytes_per_second / 1e9, **origin(device, dtype)}
    records = []
    with _output(args, device).open("w", encoding="utf-8") as file:
        for record in measurements(shapes, run):  # written as they come, in case of a kill
            records.append(record)
            print(json.dumps({**record, **rest}), file=file, flush=True)
    show(records, f"{rest['device']}, {rest['dtype']}, commit {rest['commit']}")
    if all("refused" in record for record in records):
        sys.exit("nothing could be timed")


def _names(args: argparse.Namespace) -> list[str]:
    everything = [shape.name for shape in SHAPES] if args.device == "cuda" else ["embedded"]
    return args.shape or everything


def _output(args: argparse.Namespace, device: torch.device) -> Path:
    """Where the lines go: a file named by the GPU, or standard output on a CPU."""
    if args.output is not None:
        return Path(args.output)
    if device.type != "cuda":
        return Path("/dev/stdout")
    RESULTS.mkdir(exist_ok=True)
    name = torch.cuda.get_device_name(device).lower().replace(" ", "-")
    return RESULTS / f"kernels-{name}.jsonl"


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
