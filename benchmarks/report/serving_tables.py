"""Tables of `benchmarks/results/serving.jsonl`."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from benchmarks.report.markdown import (
    NONE,
    RawRecord,
    inverse,
    mebibytes,
    milliseconds,
    percent,
    ratio,
    table,
)

_FULL, _MAIN = "full", "metacompress 90%"
_FIT = "sessions_that_fit"
_LARGEST_CROWD = 8
_ABOUT = {
    "random-576": "Random LLaVA of 100 M, 576 tokens, halves proportioned as in LLaVA-1.5-7B",
    "random-576-larger": "The same of 365 M",
    "random-576-even": "Random LLaVA of 54 M, 576 tokens, tower as large as the language model",
    "embedded": "Embedded model, 256 tokens",
}


def gains(records: Sequence[RawRecord]) -> str:
    """What a tenth of the tokens gains on every model: the table of README."""
    models = _values(records, "model")
    rows = [
        ["visual tokens", *[_tokens(records, model) for model in models]],
        ["first token, first turn", *[_gain(records, model, "ttft_first") for model in models]],
        ["first token, later turns", *[_gain(records, model, "ttft_later") for model in models]],
        ["whole first turn", *[_gain(records, model, "total_first") for model in models]],
        ["first token, later turns, idle sessions", *[_idle(records, model) for model in models]],
        ["turns per second, 8 dialogues at once", *[_crowd(records, model) for model in models]],
        ["KV of the picture", *[_kept_kv(records, model) for model in models]],
        ["sessions in the same KV memory", *[_sessions(records, model) for model in models]],
        ["answers right", *[_both_right(records, model) for model in models]],
    ]
    heads = [_ABOUT[model] for model in models]
    return table(["at a tenth, against all tokens", *heads], rows)


def contestants(records: Sequence[RawRecord]) -> str:
    """One dialogue at a time, everybody, model by model."""
    return _by_model(records, "turns", _contestant_table)


def memory(records: Sequence[RawRecord]) -> str:
    """KV of one picture, and the sessions that fit."""
    return _by_model(records, "memory", _memory_table)


def crowds(records: Sequence[RawRecord]) -> str:
    """More and more dialogues at once (closed loop)."""
    return _load_table(_part(records, "crowds"), "at once", lambda cell: str(cell["at_once"]))


def arrivals(records: Sequence[RawRecord]) -> str:
    """Dialogues that arrive by themselves (open loop)."""
    return _load_table(_part(records, "arrivals"), "arrivals", lambda c: f"{c['rate']:.2f} per s")


def pressure(records: Sequence[RawRecord]) -> str:
    """Idle sessions: few, or more than the KV memory holds; session tiers off and on."""
    found = _part(records, "pressure")
    return _load_table(found, "pressure", lambda c: f"{c['pressure']} ({c['sessions']} sessions)")


def costs(records: Sequence[RawRecord]) -> str:
    """What the reduction itself costs, and what the tower bounds."""
    rows = []
    for record in _part(records, "turns"):
        metrics, cell = record["metrics"], record["cell"]
        first = metrics["ttft_first_s"]
        if not metrics["tower_s_per_session"] or not first:
            continue  # plain vLLM's model class has no stopwatch
        tower, reduction = metrics["tower_s_per_session"], metrics["reduction_s_per_session"]
        rows.append(
            [
                cell["model"],
                cell["contestant"],
                f"{1000 * tower:.1f}",
                percent(tower / first["p50"]),
                f"{1000 * reduction:.2f}",
                percent(reduction / tower),
            ]
        )
    heads = ["tower, ms", "of the first token", "reduction, ms", "of the tower"]
    return table(["model", "contestant", *heads], rows)


def _contestant_table(records: Sequence[RawRecord]) -> str:
    rows = []
    for record in records:
        metrics, cell = record["metrics"], record["cell"]
        ratios = metrics.get("ratio", {})
        rows.append(
            [
                cell["contestant"],
                str(cell["image_tokens"]),
                _spread(metrics["ttft_first_s"]),
                ratio(ratios.get("ttft_first")),
                _spread(metrics["ttft_later_s"]),
                ratio(ratios.get("ttft_later")),
                milliseconds(metrics["itl_s"]),
                ratio(ratios.get("turns_per_s")),
                f"{metrics['tower_runs_per_session']:.2f}",
                _accuracy(metrics["accuracy_per_turn"]),
                str(sum(metrics["failures"].values())),
            ]
        )
    heads = ["tokens", "first turn: p50, p95, p99 ms", "of full", "later turns: p50, p95, p99 ms"]
    heads += ["of full", "ITL, ms", "turns/s, of full", "tower runs", "right, by turn", "failed"]
    return table(["", *heads], rows)


def _memory_table(records: Sequence[RawRecord]) -> str:
    full = next(r for r in records if r["cell"]["contestant"] == _FULL)["metrics"]
    rows = []
    for record in records:
        metrics, cell = record["metrics"], record["cell"]
        rows.append(
            [
                cell["contestant"],
                str(cell["image_tokens"]),
                mebibytes(metrics["visual_kv_bytes"]),
                percent(metrics["visual_kv_of_original"]),
                percent(metrics["ideal"]),
                f"{metrics['over_ideal']:.3f}",
                *[_times(count, full[_FIT][text]) for text, count in metrics[_FIT].items()],
            ]
        )
    heads = ["tokens", "picture's KV, MiB", "of n tokens", "m / n", "measured / counted"]
    room = mebibytes(full["kv_memory_bytes"])
    heads += [f"sessions with {text} in {room} MiB" for text in full[_FIT]]
    return table(["", *heads], rows)


def _load_table(records: Sequence[RawRecord], head: str, label: Any) -> str:
    rows = []
    for record in records:
        metrics, cell = record["metrics"], record["cell"]
        ratios = metrics.get("ratio", {})
        rows.append(
            [
                label(cell),
                cell["contestant"],
                _spread(metrics["ttft_first_s"]),
                ratio(ratios.get("ttft_first")),
                _spread(metrics["ttft_later_s"]),
                ratio(ratios.get("ttft_later")),
                f"{metrics['turns_per_s']:.2f}",
                percent(metrics["good_share"]),
                f"{metrics['tower_runs_per_session']:.2f}",
                str(metrics["preemptions"]),
                str(sum(metrics["failures"].values())),
            ]
        )
    heads = ["", "first turn: p50, p95, p99 ms", "of full", "later turns: p50, p95, p99 ms"]
    heads += ["of full", "turns/s", "within SLO", "tower runs", "preemptions", "failed"]
    return table([head, *heads], rows)


def _times(count: int, other: int) -> str:
    return f"{count} ({count / other:.1f} times)"


def _by_model(records: Sequence[RawRecord], part: str, make: Any) -> str:
    found = _part(records, part)
    return "\n\n".join(
        f"**{_ABOUT[model]}**\n\n{make([r for r in found if r['cell']['model'] == model])}"
        for model in _values(found, "model")
    )


def _part(records: Iterable[RawRecord], part: str) -> list[RawRecord]:
    return [record for record in records if record["cell"]["part"] == part]


def _values(records: Iterable[RawRecord], key: str) -> list[str]:
    return list(dict.fromkeys(record["cell"][key] for record in records))


def _cell(records: Sequence[RawRecord], model: str, part: str, contestant: str) -> Any:
    """The metrics of one cell, None where it was not measured."""
    for record in _part(records, part):
        if (record["cell"]["model"], record["cell"]["contestant"]) == (model, contestant):
            return record
    return None


def _tokens(records: Sequence[RawRecord], model: str) -> str:
    cell = _cell(records, model, "turns", _MAIN)["cell"]
    return f"{cell['image_tokens_original']} → {cell['image_tokens']}"


def _gain(records: Sequence[RawRecord], model: str, name: str) -> str:
    full = _cell(records, model, "turns", _FULL)["metrics"]
    ours = _cell(records, model, "turns", _MAIN)["metrics"]
    if name.startswith("total"):
        return f"{inverse(ours['ratio'][name])} shorter"
    times = f"{milliseconds(full[f'{name}_s'])} → {milliseconds(ours[f'{name}_s'])} ms"
    return f"{times}, {inverse(ours['ratio'][name])} sooner"


def _idle(records: Sequence[RawRecord], model: str) -> str:
    """Later turns of more sessions than fit uncompressed, session tiers off."""
    found = _part(records, "pressure")
    full, ours = _both(found, model, lambda cell: cell["pressure"] == "high")
    if full is None or ours is None:
        return NONE
    times = [milliseconds(one["metrics"]["ttft_later_s"]) for one in (full, ours)]
    more = inverse(ours["metrics"]["ratio"]["ttft_later"])
    return f"{times[0]} → {times[1]} ms, {more} sooner ({ours['cell']['sessions']} sessions)"


def _crowd(records: Sequence[RawRecord], model: str) -> str:
    """Throughput of the largest crowd."""
    found = _part(records, "crowds")
    full, ours = _both(found, model, lambda cell: cell["at_once"] == _LARGEST_CROWD)
    if full is None or ours is None:
        return NONE
    counts = [one["metrics"]["turns_per_s"] for one in (full, ours)]
    return f"{counts[0]:.1f} → {counts[1]:.1f}, {counts[1] / counts[0]:.1f} times"


def _both(
    records: Sequence[RawRecord], model: str, chosen: Callable[[Any], bool]
) -> tuple[RawRecord | None, RawRecord | None]:
    """All tokens and a tenth, of the cells that are meant."""
    cells = {
        record["cell"]["contestant"]: record
        for record in records
        if record["cell"]["model"] == model and chosen(record["cell"])
    }
    return cells.get(_FULL), cells.get(_MAIN)


def _kept_kv(records: Sequence[RawRecord], model: str) -> str:
    found = _cell(records, model, "memory", _MAIN)
    if found is None:
        return NONE
    metrics = found["metrics"]
    return f"{percent(metrics['visual_kv_of_original'])} (m / n is {percent(metrics['ideal'])})"


def _sessions(records: Sequence[RawRecord], model: str) -> str:
    full, ours = (_cell(records, model, "memory", name) for name in (_FULL, _MAIN))
    if full is None or ours is None:
        return NONE
    found = []
    for text, count in full["metrics"][_FIT].items():
        more = ours["metrics"][_FIT][text]
        found.append(f"{count} → {more} ({more / count:.1f} times, {text})")
    return "; ".join(found)


def _both_right(records: Sequence[RawRecord], model: str) -> str:
    full, ours = (_cell(records, model, "turns", name)["metrics"] for name in (_FULL, _MAIN))
    if not full["accuracy_per_turn"]:
        return "random weights"
    answers = sum(turn["answers"] for turn in full["accuracy_per_turn"])
    return f"{percent(_right(full))} → {percent(_right(ours))} of {answers}"


def _right(metrics: Any) -> float:
    turns = metrics["accuracy_per_turn"]
    answers = sum(turn["answers"] for turn in turns)
    return float(sum(turn["value"] * turn["answers"] for turn in turns) / answers)


def _spread(found: Any) -> str:
    return ", ".join(milliseconds(found, name) for name in ("p50", "p95", "p99")) if found else NONE


def _accuracy(turns: Any) -> str:
    return ", ".join(percent(turn["value"]) for turn in turns) if turns else NONE
