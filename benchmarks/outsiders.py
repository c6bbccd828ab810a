"""Our load generator beside `vllm bench serve` and AIPerf, on the same servers under the same load.

    python -m benchmarks.outsiders                                  # ours and vLLM's
    python -m benchmarks.outsiders --aiperf DIR/bin/aiperf          # AIPerf too, from its own venv

A random LLaVA of 576 visual tokens is served twice, compressed to a tenth and uncompressed. In
every round each tool asks each server the same number of questions about new pictures of one size,
at the same concurrency; the order turns from round to round. Beside what a tool says stands what
the server says of the very same requests, read from its `/metrics`: mean time to the first token,
tokens of a prompt and of an answer. Writes benchmarks/results/outsiders.jsonl.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import torch

from benchmarks.outsider_tools import Seen, Tool, ToolError, Work, aiperf, ours, vllm_bench
from benchmarks.records import RESULTS, Record, provenance, write
from benchmarks.serving.client import ClientError
from benchmarks.serving.contestants import FULL, MAIN, Contestant, random_576
from benchmarks.serving.counters import total
from benchmarks.serving.servers import running
from metacompress_server.demo.dialogue import DemoError

FILE = RESULTS / "outsiders.jsonl"
SERIES = {
    "ttft_s": "vllm:time_to_first_token_seconds_sum",
    "requests": "vllm:time_to_first_token_seconds_count",
    "prompt_tokens": "vllm:prompt_tokens_total",
    "answer_tokens": "vllm:generation_tokens_total",
}
_KV_TOKENS = 16_384
_FIRST_SEED = 1000
_WARM_UP_SEED = 999


@dataclass(frozen=True)
class Run:
    """One tool on one server in one round: what it says, and what the server says."""

    tool: str
    server: str
    seen: Seen
    counted: Mapping[str, float]

    @property
    def server_ttft_s(self) -> float:
        """Mean, by the server."""
        return self.counted["ttft_s"] / self.counted["requests"]


def measure(tools: Mapping[str, Tool], rounds: int, work: Work, folder: Path) -> list[Record]:
    """All tools on both servers, and their records.

    Raises:
        ClientError, DemoError, ToolError: a client, a server or a tool broke.
    """
    model = random_576(folder, kv_tokens=_KV_TOKENS)
    pair = [one for one in model.contestants if one.name in (FULL, MAIN)]
    checkpoint = Path(pair[0].words[0])
    runs: list[Run] = []
    with running(pair) as urls:
        for one in pair:
            ours(urls[one.name], checkpoint, work, _WARM_UP_SEED, folder)
        for number in range(rounds):
            order = list(tools) if number % 2 else list(reversed(tools))
            for place, name in enumerate(order):
                for one in pair if (number + place) % 2 else reversed(pair):
                    seed = _FIRST_SEED + 100 * number + 10 * place + pair.index(one)
                    out = folder / f"{number}-{name.replace(' ', '-')}-{one.image_tokens}"
                    out.mkdir()
                    run = _run(name, tools[name], one, urls[one.name], checkpoint, work, seed, out)
                    runs.append(run)
    return [record(name, one, runs, work) for one in pair for name in tools]


def _run(
    name: str,
    tool: Tool,
    contestant: Contestant,
    url: str,
    checkpoint: Path,
    work: Work,
    seed: int,
    folder: Path,
) -> Run:
    before = _counters(url)
    seen = tool(url, checkpoint, work, seed, folder)
    after = _counters(url)
    counted = {key: after[key] - before[key] for key in after}
    return Run(name, contestant.name, seen, counted)


def _counters(url: str) -> dict[str, float]:
    page = httpx.get(f"{url}/metrics", timeout=30.0).raise_for_status().text
    return {name: total(page, series) for name, series in SERIES.items()}


def record(name: str, contestant: Contestant, runs: Sequence[Run], work: Work) -> Record:
    """One tool on one server, over all rounds, with its ratios to our own tool by round."""
    own = [run for run in runs if run.server == contestant.name and run.tool == name]
    reference = [run for run in runs if run.server == contestant.name and run.tool == "ours"]
    cell = {
        "tool": name,
        "model": "random-576",
        "server": contestant.name,
        "visual_tokens": contestant.image_tokens,
        **asdict(work),
        "rounds": len(own),
    }
    return Record(
        "outsiders",
        cell,
        _metrics(own, reference, work),
        provenance(torch.device("cpu"), contestant.flags),
    )


def _metrics(own: Sequence[Run], reference: Sequence[Run], work: Work) -> dict[str, Any]:
    pairs = list(zip(own, reference, strict=True))
    return {
        "failed": sum(run.seen.failed for run in own),
        "ttft_mean_s": _spread([run.seen.ttft_mean_s for run in own]),
        "ttft_p50_s": _spread([run.seen.ttft_p50_s for run in own]),
        "requests_per_s": _spread([run.seen.requests_per_s for run in own]),
        "server_ttft_mean_s": _spread([run.server_ttft_s for run in own]),
        "ttft_beyond_server_s": _spread([run.seen.ttft_mean_s - run.server_ttft_s for run in own]),
        "ttft_mean_to_ours": _spread([a.seen.ttft_mean_s / b.seen.ttft_mean_s for a, b in pairs]),
        "requests_per_s_to_ours": _spread(
            [a.seen.requests_per_s / b.seen.requests_per_s for a, b in pairs]
        ),
        "server_requests": sum(run.counted["requests"] for run in own),
        "asked_requests": work.requests * len(own),
        "prompt_tokens": statistics.fmean(
            run.counted["prompt_tokens"] / run.counted["requests"] for run in own
        ),
        "answer_tokens": statistics.fmean(
            run.counted["answer_tokens"] / run.counted["requests"] for run in own
        ),
    }


def _spread(values: Sequence[float]) -> dict[str, Any]:
    """Median over rounds, and all of them."""
    return {"p50": statistics.median(values), "rounds": list(values)}


def main(arguments: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    tools: dict[str, Tool] = {"ours": ours, "vllm bench serve": vllm_bench}
    if args.aiperf:
        tools["aiperf"] = aiperf(args.aiperf)
    work = Work(requests=args.requests, at_once=args.at_once)
    try:
        with tempfile.TemporaryDirectory() as folder:
            records = measure(tools, args.rounds, work, Path(folder))
    except (ClientError, DemoError, ToolError) as error:
        print(f"benchmarks.outsiders: {error}", file=sys.stderr)
        return 1
    write(args.output, records)
    for one in records:
        print(json.dumps({**one.cell, **one.metrics}))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--aiperf", metavar="FILE", help="AIPerf's executable (default: left out)")
    parser.add_argument("--rounds", type=int, default=4, help="of all tools (default: 4)")
    parser.add_argument("--requests", type=int, default=24, help="of a tool in a round")
    parser.add_argument("--at-once", type=int, default=2, help="in flight (default: 2)")
    parser.add_argument("--output", type=Path, default=FILE, help="default: %(default)s")
    return parser


if __name__ == "__main__":
    sys.exit(main())
