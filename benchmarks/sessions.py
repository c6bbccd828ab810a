"""Time to the first token of a returning turn, by where its keys and values were found.

    python -m benchmarks.sessions                # 8 sessions, some minutes on two CPU cores
    python -m benchmarks.sessions --sessions 20

Starts a server with a random LLaVA of 576 visual tokens (58 kept), a GPU cache for one dialogue, a
host tier for all of them, a disk tier and an encoder tier, and lets every session return five
times: to a server that knows nothing of it, at once (GPU), after others (host), after the host's
memory went to others (disk), and after its session was deleted (embeddings: only the picture is
known). Correctness first: with equal questions all five must give the same tokens (greedy,
float32), and in every phase the server's counters must show that the tokens came from where the
phase says (four fifths at least); else nothing is timed and the exit status is 1. The last line is
one JSON document with p20, p50 and p80 of the seconds, and each ratio to `nothing`.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.random_llava import (
    kv_bytes_per_token,
    parameters,
    save_random_compressor,
    save_random_llava,
)
from benchmarks.records import Record, provenance
from benchmarks.returning_turns import PHASES, BenchmarkError, Returning
from metacompress_server.demo.server import running_server

GIB = 1 << 30
BLOCK_TOKENS = 32
MAX_TOKENS = 1280
"""Longest prompt: the GPU's cache holds just one."""


def server_words(folder: Path, num_sessions: int) -> list[str]:
    """The server under test."""
    model = save_random_llava(folder / "model")
    compressor = save_random_compressor(folder / "compressor", model)
    token = kv_bytes_per_token(model)
    host = token * MAX_TOKENS * (num_sessions + 3)
    return [
        *(str(model), "--compressor", str(compressor), "--dtype", "float32"),
        *("--max-model-len", str(MAX_TOKENS), "--block-size", str(BLOCK_TOKENS)),
        *("--kv-cache-memory-bytes", str(token * (MAX_TOKENS + BLOCK_TOKENS))),
        *("--max-num-seqs", "2", "--served-model-name", "random"),
        *("--session-kv-gib", str(host / GIB), "--session-kv-share", "1"),
        *("--session-disk-gib", "8", "--state-dir", str(folder / "state")),
        *("--encoder-cache-gib", "0.25"),
    ]


def percentiles(values: list[float]) -> dict[str, float]:
    """p20, p50 and p80."""
    quantiles = torch.quantile(torch.tensor(values), torch.tensor([0.2, 0.5, 0.8])).tolist()
    return dict(zip(("p20", "p50", "p80"), quantiles, strict=True))


def measure(url: str, num_sessions: int) -> dict[str, Any]:
    """Check, then time.

    Raises:
        BenchmarkError: answers differ, or a phase's tokens came from elsewhere.
    """
    floods = 3 * (num_sessions + 3) // 2
    checked = Returning(url, "check", 2, floods, same_question=True).run()
    for session in range(2):
        answers = {phase: checked[phase][session].answer for phase in PHASES}
        if len(set(answers.values())) != 1:
            raise BenchmarkError(f"answers differ by where the tokens were: {answers}")
    timed = Returning(url, "timed", num_sessions, floods, same_question=False).run()
    seconds = {phase: [turn.ttft_s for turn in timed[phase]] for phase in PHASES}
    ratios = {
        phase: [one / cold for one, cold in zip(seconds[phase], seconds["nothing"], strict=True)]
        for phase in PHASES
    }
    return {
        "prompt_tokens": timed["nothing"][0].prompt_tokens,
        "ttft_s": {phase: percentiles(seconds[phase]) for phase in PHASES},
        "ratio_to_nothing": {phase: percentiles(ratios[phase]) for phase in PHASES},
    }


def show(result: dict[str, Any]) -> None:
    """The table for people."""
    table = Table("found in", "TTFT p50 (s)", "p20", "p80", "of nothing, p50", "p20", "p80")
    for phase in PHASES:
        time, ratio = result["ttft_s"][phase], result["ratio_to_nothing"][phase]
        row = [f"{one[name]:.3f}" for one in (time, ratio) for name in ("p50", "p20", "p80")]
        table.add_row(phase, *row)
    Console().print(table)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sessions", type=int, default=8, help="how many return")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        words = server_words(Path(folder), arguments.sessions)
        try:
            with running_server(words) as url:
                result = measure(url, arguments.sessions)
        except BenchmarkError as error:
            print(f"not timed: {error}", file=sys.stderr)
            return 1
        size = parameters(Path(folder) / "model")
    flags = [word.replace(folder, "DIR") for word in words[1:]]
    show(result)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    cell = {"sessions": arguments.sessions, "parameters": size}
    print(Record("sessions", cell, result, provenance(device, flags)).line())
    return 0


if __name__ == "__main__":
    sys.exit(main())
