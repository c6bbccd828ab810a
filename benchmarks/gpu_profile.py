"""The paper's efficiency table on a GPU: time to the first token, end to end, memory, work.

    python -m benchmarks.gpu_profile                           # LLaVA-1.5-7B, about seven minutes
    python -m benchmarks.gpu_profile --shape llava-1.5-13b
    python -m benchmarks.gpu_profile --shape tiny              # the same path on a CPU, a minute

The model has its published shape and vLLM's dummy weights: speed needs no trained ones. One server
serves every budget (`--serve-uncompressed`), and requests about new pictures go round all budgets,
so that ratios are paired. A request is what the paper times: one picture, one question. Writes
benchmarks/results/gpu-profile.jsonl (`tiny` only where `--output` says); `python -m
benchmarks.capacity.page` puts it beside the published figures. LLaVA-NeXT is not served yet, so it
has no profile. Flags after `--` go to the server.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import torch

from benchmarks.dummy_llava import SHAPES, save_dummy_compressor, save_dummy_llava
from benchmarks.records import RESULTS, Record, provenance, write
from benchmarks.serving.client import ClientError, hold
from benchmarks.serving.counters import labels
from benchmarks.serving.dialogues import noise
from benchmarks.serving.turns import Answers, Load, Turn
from metacompress_compressor.artifact import load_artifact
from metacompress_server.capacity.memory import KvLayout
from metacompress_server.capacity.models import ModelShape
from metacompress_server.capacity.sessions import Budget, Dialogue, SessionCost, session_cost
from metacompress_server.demo.dialogue import DemoError
from metacompress_server.demo.server import running_server
from metacompress_server.plan import CompressionPlan

FILE = RESULTS / "gpu-profile.jsonl"
DETAILS = ("full", "high", "auto", "low")
_KV_NUMBER_BYTES = 2
_MIB = 1 << 20


class ProfileError(RuntimeError):
    """Something could not be measured. The message is one line."""


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """p20, p50 and p80."""
    found = torch.quantile(torch.tensor(values), torch.tensor([0.2, 0.5, 0.8])).tolist()
    return dict(zip(("p20", "p50", "p80"), found, strict=True))


def profile(model: ModelShape, args: argparse.Namespace, folder: Path, stop: float) -> list[Record]:
    """All budgets of one server.

    Args:
        model: the shape.
        args: of the command line.
        folder: for checkpoint, artifact and pictures.
        stop: reading of `time.monotonic` after which no round begins.

    Raises:
        ClientError, DemoError, ProfileError: client or server broke, or time was too short.
    """
    checkpoint = save_dummy_llava(folder / "model", model)
    artifact = save_dummy_compressor(folder / "compressor", checkpoint, model)
    plan = CompressionPlan.of(load_artifact(artifact))
    flags = (*_flags(args.server), *args.server)
    words = (str(checkpoint), "--compressor", str(artifact), *flags)
    with running_server(words) as url:
        memory = Memory.read(url)
        found: dict[str, list[Turn]] = {detail: [] for detail in DETAILS}
        for number in range(args.rounds + 1):
            if time.monotonic() > stop:
                break
            turns = _round(url, number, plan, args, folder)
            for detail, turn in turns.items():
                if number:  # the first round warms up
                    found[detail].append(turn)
    if not found["full"]:
        raise ProfileError(f"--budget {args.budget:.0f} was over before a round was")
    shown = ("--compressor", "DIR", *flags)
    return [_record(model, plan, detail, found, memory, shown) for detail in DETAILS]


def _flags(given: Sequence[str]) -> tuple[str, ...]:
    """What the profile needs; vLLM's own defaults otherwise, as a user has them."""
    flags = [
        *("--load-format", "dummy", "--serve-uncompressed", "--session-kv-gib", "0"),
        *("--served-model-name", "bench"),
    ]
    if not torch.cuda.is_available() and "--kv-cache-memory-bytes" not in given:
        flags += ["--kv-cache-memory-bytes", "64M"]
    return tuple(flags)


def _round(
    url: str, number: int, plan: CompressionPlan, args: argparse.Namespace, folder: Path
) -> dict[str, Turn]:
    """One request of each budget, in an order that turns."""
    turned = DETAILS[number % len(DETAILS) :] + DETAILS[: number % len(DETAILS)]
    turns = {}
    for detail in turned:
        answers = Answers(
            max_tokens=args.answer_tokens,
            scripted=True,
            image_tokens=plan.budget(detail).num_tokens,
            detail=detail,
        )
        dialogues = noise(folder, f"profile-{number}-{detail}", 1, 1)
        (turn,) = hold(Load(url, "bench", dialogues, answers)).turns
        if turn.failure:
            raise ProfileError(f"detail {detail}: {turn.failure}")
        turns[detail] = turn
    return turns


@dataclass(frozen=True)
class Memory:
    """Of the GPU, once the server is up.

    Attributes:
        used: bytes of everything on it; None on a CPU.
        kv_blocks, block_size: of the KV cache, which is mostly room for sessions to come.
    """

    used: int | None
    kv_blocks: int
    block_size: int

    @classmethod
    def read(cls, url: str) -> "Memory":
        page = httpx.get(f"{url}/metrics", timeout=30.0).raise_for_status().text
        found = labels(page, "vllm:cache_config_info")
        return cls(_gpu_bytes(), int(found["num_gpu_blocks"]), int(found["block_size"]))

    def with_one(self, cost: SessionCost, token_bytes: int) -> int | None:
        """Of a server that holds this session and nothing else: all but the empty KV blocks."""
        if self.used is None:
            return None
        pool = self.kv_blocks * self.block_size * token_bytes
        return self.used - pool + cost.kv_bytes


def _gpu_bytes() -> int | None:
    if not torch.cuda.is_available():
        return None
    words = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return int(said.strip()) * _MIB


def _record(
    model: ModelShape,
    plan: CompressionPlan,
    detail: str,
    found: Mapping[str, Sequence[Turn]],
    memory: Memory,
    flags: Sequence[str],
) -> Record:
    turns, full = found[detail], found["full"]
    budget = plan.budget(detail)
    turn = turns[0]
    text = turn.prompt_tokens - turn.image_tokens
    kv = KvLayout(_KV_NUMBER_BYTES, memory.block_size)
    dialogue = Dialogue(1, text, turn.tokens, 1, 336, 336)
    cost = session_cost(model, dialogue, Budget(budget.retention_ratio), kv)
    ratios = [one.ttft_s / other.ttft_s for one, other in zip(turns, full, strict=True)]
    cell = {
        "shape": model.name,
        "retention_ratio": budget.retention_ratio,
        "visual_tokens": turn.image_tokens,
        "text_tokens": text,
        "answer_tokens": turn.tokens,
        "rounds": len(turns),
    }
    ttft = quantiles([one.ttft_s for one in turns])
    # None where a busy machine delivers every answer in one piece.
    gaps = [gap for one in turns for gap in one.gaps_s]
    metrics: dict[str, Any] = {
        "ttft_s": ttft,
        "e2e_s": quantiles([one.total_s for one in turns]),
        "itl_s": statistics.median(gaps) if gaps else None,
        "ttft_ratio": quantiles(ratios),
        "first_turn_flops": cost.first_turn_flops,
        "first_turn_flops_per_s": cost.first_turn_flops / ttft["p50"],
        "memory_bytes": memory.with_one(cost, kv.token_bytes(model)),
        "kv_bytes": cost.kv_bytes,
    }
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Record("gpu_profile", cell, metrics, provenance(device, flags))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    args = parser.parse_args(arguments)
    on_gpu = torch.cuda.is_available()
    if not on_gpu and args.shape != "tiny":
        parser.error("this needs an NVIDIA GPU; --shape tiny runs the same path on a CPU")
    if args.shape == "tiny" and args.output is None:
        parser.error("--shape tiny says nothing about speed: name an --output of your own")
    stop = time.monotonic() + args.budget
    try:
        with tempfile.TemporaryDirectory() as folder:
            records = profile(SHAPES[args.shape], args, Path(folder), stop)
    except (ClientError, DemoError, ProfileError) as error:
        print(f"benchmarks.gpu_profile: {error}", file=sys.stderr)
        return 1
    write(args.output or FILE, records)
    for record in records:
        print(json.dumps({**record.cell, **record.metrics}))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=list(SHAPES), default="llava-1.5-7b")
    parser.add_argument("--rounds", type=int, default=20, help="after one of warm-up (default: 20)")
    parser.add_argument("--answer-tokens", type=int, default=64, help="of each (default: 64)")
    parser.add_argument(
        "--budget", type=float, default=420, help="seconds after which no round begins"
    )
    parser.add_argument("--output", type=Path, help=f"default: {FILE.name} of the results")
    parser.add_argument("server", nargs="*", metavar="FLAG", help="of the server, after --")
    return parser


if __name__ == "__main__":
    sys.exit(main())
