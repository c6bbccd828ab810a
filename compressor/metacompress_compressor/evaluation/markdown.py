"""Tables of an evaluation's records as Markdown."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .cells import markdown_table, mean_and_range, percent, with_interval

Record = Mapping[str, Any]

_RIVALS_SHOWN = 5
_FORM_PART = re.compile(r", (?!\d)")  # a list of budgets is one part


def all_tables(records: Sequence[Record]) -> str:
    """Every table, each under a heading."""
    return "\n".join(f"## {title}\n\n{table(records)}\n" for title, table in TABLES.values())


def provenance(records: Sequence[Record]) -> str:
    """What was measured, on what, in two sentences."""
    first = records[0]
    versions = ", ".join(f"{name} {number}" for name, number in first["versions"].items())
    hardware = ", ".join(f"{name} {value}" for name, value in first["hardware"].items())
    return (
        f"{first['turns']} answers in {first['dialogues']} dialogues "
        f"(data {first['data_digest'][:12]}), "
        f"model {first['model']} ({first['model_fingerprint'][:12]}) in {first['dtype']}, "
        f"{first['scoring']}. {hardware}; {versions}; commit {first['commit']}."
    )


def accuracy_table(records: Sequence[Record]) -> str:
    """Accuracy in percent at every budget, with kept / with contiguous positions."""
    budgets = _budgets(records)
    full = _full(records)
    rows = [["full", *[percent(full["accuracy"]) for _ in budgets]]]
    rows += [
        [_name(group[0]), *[_both_positions(_at(group, budget)) for budget in budgets]]
        for group in _groups(records, lambda r: (r["method"], r["windows"]))
    ]
    heads = [f"{1 - budget:.0%} less" for budget in budgets]
    return markdown_table(["accuracy in percent, kept / contiguous positions", *heads], rows)


def headline_table(records: Sequence[Record]) -> str:
    """The full model, the first mapping and the best baselines at a tenth of the tokens."""
    tried = _best_of_each(records, _main_budget(records))
    rivals = [record for record in tried if record["kind"] == "prompt-agnostic"]
    rivals.sort(key=lambda record: record["accuracy"]["value"], reverse=True)
    mapping = next(record for record in tried if record["kind"] == "mapping")
    rows = [
        [
            _name(record),
            f"{record['visual_tokens']:g}",
            with_interval(record["accuracy"]),
            percent(record["retention"]),
            *[percent(turn) for turn in record["per_turn"]],
        ]
        for record in [_full(records), mapping, *rivals[:_RIVALS_SHOWN]]
    ]
    heads = [f"turn {number}" for number in range(1, len(rows[0]) - 3)]
    return markdown_table(["", "visual tokens", "right (95 %)", "of full", *heads], rows)


def turns_table(records: Sequence[Record]) -> str:
    """Accuracy, interval, retention and turns at a tenth of the tokens, each at its better rule."""
    chosen = [_full(records), *_best_of_each(records, _main_budget(records))]
    turns = len(chosen[0]["per_turn"])
    rows = [
        [
            _name(record),
            f"{record['visual_tokens']:g}",
            _rule(record),
            with_interval(record["accuracy"]),
            percent(record["retention"]),
            *[percent(turn) for turn in record["per_turn"]],
        ]
        for record in chosen
    ]
    heads = [f"turn {number}" for number in range(1, turns + 1)]
    heads = ["method", "tokens", "positions", "accuracy (95 %)", "of full", *heads]
    return markdown_table(heads, rows)


def kinds_table(records: Sequence[Record]) -> str:
    """Accuracy by kind of question at a tenth of the tokens, each method at its better rule."""
    chosen = [_full(records), *_best_of_each(records, _main_budget(records))]
    kinds = list(chosen[0]["per_kind"])
    rows = [
        [_name(record), *[f"{100 * record['per_kind'][kind]:.1f}" for kind in kinds]]
        for record in chosen
    ]
    return markdown_table(["accuracy in percent", *[f"`{kind or 'any'}`" for kind in kinds]], rows)


def lead_table(records: Sequence[Record]) -> str:
    """Each mapping's lead over the best prompt-agnostic baseline, in points, with intervals."""
    leading = [record for record in records if record.get("lead")]
    turns = len(leading[0]["per_turn"]) if leading else 0
    rows = []
    for record in leading:
        if record["positions"] != record["trained_positions"]:
            continue
        overall = record["lead"]["overall"]
        rows.append(
            [
                f"{1 - record['retention_ratio']:.0%}",
                _name(record),
                f"{overall['over']} ({overall['over_tokens']:g}, {overall['over_positions']})",
                with_interval(overall, sign=True),
                *[with_interval(turn, sign=True) for turn in record["lead"]["per_turn"]],
            ]
        )
    heads = [f"turn {number}" for number in range(1, turns + 1)]
    return markdown_table(
        ["reduction", "mapping", "best baseline", "lead, all turns", *heads], rows
    )


def mappings_table(records: Sequence[Record]) -> str:
    """What tells the mappings apart, and their accuracy with their own rule of positions."""
    budgets, forms = _budgets(records), _short_forms(records)
    rows = []
    for group in _groups(records, lambda r: (r["method"],)):
        own = [
            r for r in group if r["kind"] == "mapping" and r["positions"] == r["trained_positions"]
        ]
        if own:
            found = [
                with_interval(tried[0]["accuracy"]) if (tried := _at(own, budget)) else "–"
                for budget in budgets
            ]
            rows.append([_name(own[0]), forms[own[0]["form"]], *found])
    heads = [f"{1 - budget:.0%} less" for budget in budgets]
    return markdown_table(["mapping", "form", *heads], rows)


def seeds_table(records: Sequence[Record]) -> str:
    """Forms that were trained with several seeds: mean and range of the accuracy."""
    budgets = _budgets(records)
    rows = []
    for names, seeds, group in _seeds(records):
        shares = [[r["accuracy"]["value"] for r in _at(group, budget)] for budget in budgets]
        rows.append([names, seeds, *map(mean_and_range, shares)])
    heads = [f"{1 - budget:.0%} less" for budget in budgets]
    return markdown_table(["mappings", "seeds", *heads], rows)


def seed_turns_table(records: Sequence[Record]) -> str:
    """The same forms turn by turn at a tenth of the tokens, in percent of the full model."""
    budget, full = _main_budget(records), _full(records)["per_turn"]
    rows = []
    for names, seeds, group in _seeds(records):
        tried = _at(group, budget)
        overall = [v for r in tried if (v := r["retention"]["value"]) is not None]
        turns = zip(*[r["per_turn"] for r in tried], strict=True)
        cells = [mean_and_range(overall) if overall else "–", *map(_kept_of, full, turns)]
        rows.append([names, seeds, *cells])
    heads = [f"turn {number}" for number in range(1, len(full) + 1)]
    heads = ["percent of the full model", "seeds", "all turns", *heads]
    return markdown_table(heads, rows)


def cost_table(records: Sequence[Record]) -> str:
    """Work at a tenth of the tokens: prefill, keys and values, and the reduction itself."""
    chosen = [_full(records), *_best_of_each(records, _main_budget(records))]
    rows = []
    for record in chosen:
        prefill = record["prefill"]
        rows.append(
            [
                _name(record),
                f"{prefill['flops'] / 1e9:.2f} G",
                f"{prefill['flops_share']:.1%}",
                f"{prefill['visual_kv_share']:.1%}",
                _share(record, "flops"),
                _share(record, "time"),
            ]
        )
    heads = ["prefill FLOPs", "of full", "visual KV", "reduction, FLOPs", "reduction, time"]
    return markdown_table(["method", *heads], rows)


#: By the name that a page asks for it: heading, and what makes it.
TABLES: dict[str, tuple[str, Callable[[Sequence[Record]], str]]] = {
    "provenance": ("What was measured", provenance),
    "headline": ("In short, at about a tenth of the tokens", headline_table),
    "accuracy": ("Accuracy at every budget", accuracy_table),
    "lead": ("Lead of the mapping over the best prompt-agnostic baseline", lead_table),
    "mappings": ("Mappings", mappings_table),
    "seeds": ("Mappings trained with several seeds, mean and range", seeds_table),
    "seed_turns": ("The same, turn by turn at about a tenth of the tokens", seed_turns_table),
    "turns": ("Turn by turn, at about a tenth of the tokens", turns_table),
    "kinds": ("By kind of question, at about a tenth of the tokens", kinds_table),
    "cost": ("Work, at about a tenth of the tokens", cost_table),
}


def _kept_of(whole: Mapping[str, Any], tried: Sequence[Mapping[str, Any]]) -> str:
    """Mean and range of some accuracies as shares of the full model's; a dash if that has none."""
    if not whole["value"]:
        return "–"
    return mean_and_range([estimate["value"] / whole["value"] for estimate in tried])


def _seeds(records: Sequence[Record]) -> list[tuple[str, str, list[Record]]]:
    """Mappings of one form: their names (and what is special to it), how many, their records."""
    forms = _short_forms(records)
    own = [record for record in records if record["positions"] == record["trained_positions"]]
    found = []
    for group in _groups(own, lambda r: (r["form"],)):
        names = list(dict.fromkeys(record["label"] for record in group))
        special = f": {forms[group[0]['form']]}" if len(forms) > 1 else ""
        if len(names) > 1:
            found.append((", ".join(names) + special, str(len(names)), group))
    return found


def _short_forms(records: Sequence[Record]) -> dict[str, str]:
    """Every form in the records, less what all of them share."""
    forms = list(dict.fromkeys(r["form"] for r in records if r["kind"] == "mapping"))
    parts = {form: _FORM_PART.split(form) for form in forms}
    shared = set.intersection(*map(set, parts.values())) if len(forms) > 1 else set()
    return {form: ", ".join(p for p in parts[form] if p not in shared) for form in forms}


def _full(records: Sequence[Record]) -> Record:
    return next(record for record in records if record["kind"] == "full")


def _budgets(records: Sequence[Record]) -> list[float]:
    return sorted({r["retention_ratio"] for r in records if r["kind"] != "full"}, reverse=True)


def _main_budget(records: Sequence[Record]) -> float:
    nearest: float = min(_budgets(records), key=lambda budget: abs(budget - 0.1))
    return nearest


def _best_of_each(records: Sequence[Record], budget: float) -> list[Record]:
    """Of each method at a budget, the rule of positions that it does better with."""
    return [
        max(tried, key=lambda record: record["accuracy"]["value"])
        for group in _groups(records, lambda r: (r["method"], r["windows"]))
        if (tried := _at(group, budget))
    ]


def _groups(
    records: Sequence[Record], key: Callable[[Record], tuple[Any, ...]]
) -> list[list[Record]]:
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        if record["kind"] != "full":
            groups.setdefault(key(record), []).append(record)
    return list(groups.values())


def _at(group: Sequence[Record], budget: float) -> list[Record]:
    return [record for record in group if record["retention_ratio"] == budget]


def _both_positions(records: Sequence[Record]) -> str:
    if not records:
        return "–"
    by_rule = {record["positions"]: percent(record["accuracy"]) for record in records}
    shown = " / ".join(by_rule[rule] for rule in ("kept", "contiguous") if rule in by_rule)
    return f"{shown} ({records[0]['visual_tokens']:g})"


def _name(record: Record) -> str:
    if record["kind"] == "mapping":
        return f"**{record['label']}**"
    if record["method"] == "sample" and record["windows"] == "1d":
        return f"{record['label']}, 1-D budget"
    return str(record["label"])


def _rule(record: Record) -> str:
    return "" if record["kind"] == "full" else str(record["positions"])


def _share(record: Record, unit: str) -> str:
    """What the reduction costs beside the tower."""
    reduction = record["reduction"]
    if record["kind"] == "full":
        return ""
    if reduction is None:
        return "in the model"
    share = f"{reduction[f'{unit}_share_of_tower']:.1%}"
    return f"{share} instead" if reduction["instead_of_tower"] else share
