"""Three load generators on one server: ours, `vllm bench serve` and AIPerf, told the same load.

Each is a process of its own. What they say is brought to one form, in seconds.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.serving.client import hold
from benchmarks.serving.turns import Answers, Dialogue, Load, Question

_LONGEST_S = 300.0
_OFFLINE = "HF_HUB_OFFLINE"
_WORDS = ("tree", "cat", "left", "of", "the", "red", "above", "small", "dog", "there", "on", "big")


class ToolError(RuntimeError):
    """A tool that did not measure. The message ends with what it said."""


@dataclass(frozen=True)
class Work:
    """A load: questions of one turn, each about a picture of its own.

    Attributes:
        requests, at_once: how many, and how many in flight.
        text_tokens: of a question, roughly; each tool draws its own words.
        answer_tokens: of every answer, exactly.
        side: of a picture, in pixels.
    """

    requests: int = 24
    at_once: int = 2
    text_tokens: int = 60
    answer_tokens: int = 16
    side: int = 336


@dataclass(frozen=True)
class Seen:
    """What a tool says of a load.

    Attributes:
        completed, failed: requests.
        ttft_mean_s, ttft_p50_s: to the first token.
        requests_per_s: over the time that the tool counts.
    """

    completed: int
    failed: int
    ttft_mean_s: float
    ttft_p50_s: float
    requests_per_s: float


Tool = Callable[[str, Path, Work, int, Path], Seen]
"""(URL, folder of the tokenizer, load, seed, folder to write to) -> what it saw, or ToolError."""


def ours(url: str, tokenizer: Path, work: Work, seed: int, folder: Path) -> Seen:
    """`benchmarks.serving`."""
    del tokenizer
    rng = np.random.default_rng(seed)
    dialogues = []
    for index in range(work.requests):
        path = folder / f"ours-{seed}-{index}.jpg"
        pixels = rng.integers(0, 255, (work.side, work.side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        text = " ".join(rng.choice(_WORDS, work.text_tokens))
        dialogues.append(Dialogue(path.stem, str(path), (Question(text, ""),)))
    answers = Answers(max_tokens=work.answer_tokens, scripted=True)
    load = Load(url, "bench", tuple(dialogues), answers, at_once=work.at_once, longest_s=_LONGEST_S)
    outcome = hold(load)
    ttft = [turn.ttft_s for turn in outcome.turns if turn.failure is None]
    if not ttft:
        raise ToolError(f"every turn failed: {outcome.turns[0].failure}")
    return Seen(
        completed=len(ttft),
        failed=len(outcome.turns) - len(ttft),
        ttft_mean_s=statistics.fmean(ttft),
        ttft_p50_s=statistics.median(ttft),
        requests_per_s=len(ttft) / outcome.seconds,
    )


def vllm_bench(url: str, tokenizer: Path, work: Work, seed: int, folder: Path) -> Seen:
    """`vllm bench serve`, whose dataset random-mm draws words and pictures."""
    words = [
        *(str(Path(sys.executable).with_name("vllm")), "bench", "serve"),
        *("--backend", "openai-chat", "--base-url", url, "--endpoint", "/v1/chat/completions"),
        *("--model", "bench", "--tokenizer", str(tokenizer), "--seed", str(seed)),
        *("--dataset-name", "random-mm", "--num-prompts", str(work.requests)),
        *("--max-concurrency", str(work.at_once), "--random-input-len", str(work.text_tokens)),
        *("--random-output-len", str(work.answer_tokens), "--ignore-eos", "--temperature", "0"),
        *("--random-mm-base-items-per-request", "1", "--random-mm-num-mm-items-range-ratio", "0"),
        *("--random-mm-limit-mm-per-prompt", '{"image": 1, "video": 0}'),
        *("--random-mm-bucket-config", f"{{({work.side}, {work.side}, 1): 1.0}}"),
        *("--save-result", "--result-dir", str(folder), "--result-filename", "vllm.json"),
        *("--disable-tqdm", "--percentile-metrics", "ttft", "--metric-percentiles", "95"),
    ]
    _run(words)
    found = _json(folder / "vllm.json")
    return Seen(
        completed=found["completed"],
        failed=work.requests - found["completed"],
        ttft_mean_s=found["mean_ttft_ms"] / 1e3,
        ttft_p50_s=found["median_ttft_ms"] / 1e3,
        requests_per_s=found["request_throughput"],
    )


def aiperf(executable: str) -> Tool:
    """AIPerf as installed: its words and its pictures of noise."""

    def measure(url: str, tokenizer: Path, work: Work, seed: int, folder: Path) -> Seen:
        words = [
            *(executable, "profile", "--model", "bench", "--url", url),
            *("--endpoint-type", "chat", "--streaming", "--tokenizer", str(tokenizer)),
            *("--concurrency", str(work.at_once), "--request-count", str(work.requests)),
            *("--num-dataset-entries", str(work.requests), "--random-seed", str(seed)),
            *("--synthetic-input-tokens-mean", str(work.text_tokens)),
            *("--output-tokens-mean", str(work.answer_tokens)),
            *("--extra-inputs", "ignore_eos:true", "--extra-inputs", "temperature:0"),
            *("--image-width-mean", str(work.side), "--image-height-mean", str(work.side)),
            *("--image-batch-size", "1", "--image-format", "jpeg", "--image-source", "noise"),
            *("--artifact-dir", str(folder), "--ui", "none"),
            *("--no-server-metrics", "--no-gpu-telemetry", "--workers-max", "1"),
        ]
        _run(words, offline=False)
        (file,) = folder.rglob("profile_export_aiperf.json")
        found = _json(file)
        ttft, failed = found["time_to_first_token"], found.get("error_request_count") or {}
        return Seen(
            completed=int(found["request_count"]["avg"]),
            failed=int(failed.get("avg", 0)),
            ttft_mean_s=ttft["avg"] / 1e3,
            ttft_p50_s=ttft["p50"] / 1e3,
            requests_per_s=found["request_throughput"]["avg"],
        )

    return measure


def _run(words: list[str], offline: bool = True) -> None:
    """Run a tool to its end.

    Args:
        words: its command.
        offline: whether it may be told not to look for the tokenizer on the hub. AIPerf (0.13) then
            takes a folder for a hub's name and fails; left alone, it finds the folder.
    """
    environment = {name: value for name, value in os.environ.items() if name != _OFFLINE}
    try:
        subprocess.run(
            words,
            env=environment | ({_OFFLINE: "1"} if offline else {}),
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout)[-800:]
        raise ToolError(f"{words[0]} ended with status {error.returncode}: {said}") from error
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"{words[0]} took longer than {_LONGEST_S:.0f} s") from error


def _json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))
