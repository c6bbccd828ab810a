"""Tables of docs/capacity.md: the model's figures, its check, outsiders, the paper's efficiency."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.capacity.cases import MODELS, plan
from benchmarks.records import Record

_RETENTION_RATIO = 0.1
NOT_MEASURED = "*Not measured yet: this needs an NVIDIA GPU.*"


@dataclass(frozen=True)
class Published:
    """A row of the paper's efficiency table (arXiv 2603.21701), at 90 % reduction.

    Each is a pair: all visual tokens, and a tenth. None where the paper says nothing.
    """

    model: str
    ttft_ms: tuple[float, float]
    tflops: tuple[float, float] | None
    memory_gb: tuple[float, float] | None


PUBLISHED = (
    Published("LLaVA-NeXT-7B", (484, 174), (95.3, 12.7), (16.7, 14.9)),
    Published("LLaVA-1.5-7B", (232, 97.8), None, None),
)


def models_table() -> str:
    """Every model of the plot at a tenth."""
    rows = []
    for case in MODELS:
        full, tenth = plan(case, [_RETENTION_RATIO]).estimates
        rows.append(
            [
                case.model,
                case.hardware,
                f"{full.cost.num_visual_tokens:,} → {tenth.cost.num_compressed_tokens:,}",
                f"{_mib(full.cost.kv_bytes)} → {_mib(tenth.cost.kv_bytes)}",
                f"{full.sessions:,} → {tenth.sessions:,}",
                f"× {tenth.sessions / full.sessions:.1f}" if full.sessions else "from none",
                f"{tenth.work_share:.0%}",
            ]
        )
    return _table(
        ("model", "on", "n → m", "KV of a session (MiB)", "sessions", "times", "work of turn 1"),
        rows,
    )


def check_table(records: Sequence[Record]) -> str:
    """Predicted beside measured, for every server."""
    if not records:
        return "*Not measured yet.*"
    rows = []
    for record in records:
        found = record.metrics
        ttft, ratio = found["ttft_first_turn_s"], found["ttft_ratio"]
        rows.append(
            [
                record.cell["model"],
                str(record.cell["visual_tokens"]),
                _pair(found["visual_tokens_held"], "{:g}"),
                _pair(found["sessions"], "{:d}"),
                f"{1e3 * ttft['predicted']:.0f} / {1e3 * ttft['measured']:.0f}",
                f"{ratio['work_share']:.2f}",
                f"{ratio['predicted']:.2f} / **{ratio['measured']:.2f}**",
            ]
        )
    head = (
        "model",
        "visual tokens",
        "held in blocks",
        "sessions that fit",
        "first turn (ms)",
        "share of work",
        "ratio of first turns",
    )
    return _table(head, rows)


def outsiders_table(records: Sequence[Record]) -> str:
    """What every tool says of every server, and the server of it."""
    if not records:
        return "*Not measured yet.*"
    rows = []
    for record in records:
        found = record.metrics
        rows.append(
            [
                record.cell["server"],
                record.cell["tool"],
                f"{1e3 * found['ttft_mean_s']['p50']:.0f}",
                f"{1e3 * found['server_ttft_mean_s']['p50']:.0f}",
                f"{1e3 * found['ttft_beyond_server_s']['p50']:.0f}",
                f"{found['ttft_mean_to_ours']['p50']:.2f}",
                f"{found['requests_per_s']['p50']:.2f}",
                f"{found['requests_per_s_to_ours']['p50']:.2f}",
                f"{found['prompt_tokens']:.0f}",
                str(found["failed"]),
            ]
        )
    head = (
        "server",
        "tool",
        "mean TTFT (ms)",
        "by the server",
        "beyond it",
        "to ours",
        "requests/s",
        "to ours",
        "prompt tokens",
        "failed",
    )
    return _table(head, rows)


def profile_table(records: Sequence[Record]) -> str:
    """The paper's figures, and ours where a GPU measured them."""
    rows = [_published_row(row) for row in PUBLISHED]
    rows += [_measured_row(record) for record in records]
    head = (
        "model",
        "by",
        "visual tokens",
        "TTFT (ms)",
        "E2E (ms)",
        "TFLOP",
        "memory (GB)",
        "of all",
    )
    text = _table(head, rows)
    return text if records else f"{text}\n\n{NOT_MEASURED}"


def _published_row(row: Published) -> list[str]:
    return [
        row.model,
        "the paper",
        "all → a tenth",
        _arrow(row.ttft_ms),
        "",
        _arrow(row.tflops),
        _arrow(row.memory_gb),
        f"{row.ttft_ms[1] / row.ttft_ms[0]:.2f}",
    ]


def _measured_row(record: Record) -> list[str]:
    found = record.metrics
    memory = found["memory_bytes"]
    return [
        record.cell["shape"],
        str(record.provenance["hardware"]["device"]),
        str(record.cell["visual_tokens"]),
        f"{1e3 * found['ttft_s']['p50']:.1f}",
        f"{1e3 * found['e2e_s']['p50']:.0f}",
        f"{found['first_turn_flops'] / 1e12:.1f}",
        "" if memory is None else f"{memory / 1e9:.1f}",
        f"{found['ttft_ratio']['p50']:.2f}",
    ]


def _arrow(pair: tuple[float, float] | None) -> str:
    return "" if pair is None else f"{pair[0]:g} → {pair[1]:g}"


def _pair(found: dict[str, Any], form: str) -> str:
    return f"{form.format(found['predicted'])} / {form.format(found['measured'])}"


def _mib(size: int) -> str:
    return f"{size / (1 << 20):,.0f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
