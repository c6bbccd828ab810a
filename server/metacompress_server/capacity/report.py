"""A plan for people and for programs: tables, and what they rest on."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from .estimate import Estimate, Plan
from .gpus import GPUS
from .memory import gib
from .published import PUBLISHED

_KIB = 1 << 10


def print_plan(plan: Plan, notes: list[str], console: Console) -> None:
    """The budgets as a table, then everything that they rest on."""
    machine, dialogue = plan.machine, plan.dialogue
    console.print(
        f"{plan.model.name} on {machine.name}: dialogues of {dialogue.turns} turns about "
        f"{dialogue.pictures} picture(s), {dialogue.text_tokens} tokens of text"
    )
    host = machine.host_bytes > 0
    timed = machine.prefill_flops_per_s is not None
    table = Table()
    for column in _columns(host, timed):
        table.add_column(column, justify="right", no_wrap=True)
    for estimate in plan.estimates:
        table.add_row(*_row(estimate, host, timed))
    console.print(table)
    for line in assumptions(plan, notes):
        console.print(line, highlight=False, soft_wrap=True)


def _columns(host: bool, timed: bool) -> list[str]:
    return [
        "kept",
        "n -> m",
        "tokens",
        "KV / session",
        "sessions",
        *(["in host"] if host else []),
        "times",
        "TFLOP, turn 1",
        "share",
        *(["turn 1 (ms)"] if timed else []),
    ]


def _row(estimate: Estimate, host: bool, timed: bool) -> list[str]:
    cost = estimate.cost
    times, seconds = estimate.times_uncompressed, estimate.first_turn_s
    ratio = estimate.budget.retention_ratio
    return [
        "all" if ratio == 1 else f"{ratio:.1%}",
        f"{cost.num_visual_tokens} -> {cost.num_compressed_tokens}",
        f"{cost.tokens:,}",
        f"{cost.kv_bytes / _KIB**2:,.1f} MiB",
        f"{estimate.sessions:,}",
        *([f"{estimate.host_sessions:,}"] if host else []),
        "-" if times is None else f"x {times:.1f}",
        f"{cost.first_turn_flops / 1e12:.4g}",
        f"{estimate.work_share:.0%}",
        *([f"{seconds * 1e3:,.1f}"] if timed and seconds is not None else []),
    ]


def assumptions(plan: Plan, notes: list[str]) -> Iterator[str]:
    """One line for each thing that the figures rest on; what nobody measured says so."""
    model, machine, pool = plan.model, plan.machine, plan.machine.pool
    token = plan.kv.token_bytes(model)
    yield f"shape       {model.source}: {model.weights / 1e9:.3g}e9 numbers in matrices"
    yield f"KV          {token / _KIB:,.1f} KiB a token, blocks of {plan.kv.block_size} tokens"
    if pool.allowed is None:
        yield f"memory      {gib(pool.kv)} for keys and values, as given"
    else:
        yield (
            f"memory      {gib(pool.allowed)} to use per replica: {gib(pool.weights)} of weights, "
            f"{gib(pool.reserve)} of reserve, {gib(pool.kv)} for keys and values"
        )
    yield f"replicas    {machine.replicas}"
    for note in notes:
        yield f"note        {note}"


def as_json(plan: Plan, notes: list[str]) -> dict[str, Any]:
    """The plan as one JSON document; sizes in bytes, times in seconds, work in operations."""
    pool = plan.machine.pool
    return {
        "model": {
            "name": plan.model.name,
            "source": plan.model.source,
            "weights": plan.model.weights,
            "served": plan.model.served,
        },
        "machine": {
            "name": plan.machine.name,
            "replicas": plan.machine.replicas,
            "memory": asdict(pool),
            "host_bytes": plan.machine.host_bytes,
            "prefill_flops_per_s": plan.machine.prefill_flops_per_s,
        },
        "dialogue": asdict(plan.dialogue),
        "kv_bytes_per_token": plan.kv.token_bytes(plan.model),
        "block_size": plan.kv.block_size,
        "budgets": [_budget_json(estimate) for estimate in plan.estimates],
        "notes": notes,
    }


def _budget_json(estimate: Estimate) -> dict[str, Any]:
    return {
        **asdict(estimate.budget),
        **asdict(estimate.cost),
        "first_turn_flops": estimate.cost.first_turn_flops,
        "sessions": estimate.sessions,
        "host_sessions": estimate.host_sessions,
        "times_uncompressed": estimate.times_uncompressed,
        "work_share": estimate.work_share,
        "first_turn_s": estimate.first_turn_s,
    }


def print_known(console: Console) -> None:
    """Models and GPUs that `plan` knows by name."""
    models = Table("model", "numbers", "KV / token (16 bits)", "served today", "source")
    for model in PUBLISHED.values():
        token = 2 * model.language.kv_numbers_per_token / _KIB
        models.add_row(
            model.name,
            f"{model.weights / 1e9:.2f}e9",
            f"{token:,.0f} KiB",
            "yes" if model.served else "no",
            model.source,
        )
    console.print(models)
    gpus = Table("GPU", "memory", "dense bf16 (data sheet)")
    for gpu in GPUS.values():
        gpus.add_row(gpu.name, f"{gpu.memory_gib} GiB", f"{gpu.tflops:,.0f} TFLOP/s")
    console.print(gpus)
