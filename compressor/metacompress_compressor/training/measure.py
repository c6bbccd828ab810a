"""Accuracy of a finished mapping at every budget that it was trained for."""

from typing import Any

from metacompress_compressor.adapters import Adapter, load_adapter
from metacompress_compressor.evaluation import Method, evaluate
from metacompress_compressor.mapping import TokenMapping
from metacompress_compressor.reductions import AvgPool2d, Full, Mapped, Sample

from .console import RunConsole
from .corpus import Corpus
from .dialogues import data_digest
from .prepare import make_corpus, read_data
from .settings import TrainJob
from .team import Team


def measure(
    job: TrainJob, mapping: TokenMapping, team: Team, console: RunConsole
) -> dict[str, Any]:
    """Accuracy beside plain baselines on `job.eval_data`, in float32 as on a CPU server.

    Raises:
        DataError: the dialogues cannot be used.
    """
    adapter = load_adapter(job.model_dir, device=str(team.device))
    corpus = make_corpus(job, read_data(job.eval_data, adapter, console), adapter, console)
    tables = accuracy_tables(job, adapter, corpus, mapping, console)
    for table in tables:
        for name, result in table["methods"].items():
            console.note(
                f"{name}: {result['accuracy']:.3f} on {result['visual_tokens']} tokens "
                f"at {table['retention_ratio']}"
            )
    return {"data_digest": data_digest(corpus.dialogues), "budgets": tables}


def accuracy_tables(
    job: TrainJob, adapter: Adapter, corpus: Corpus, mapping: TokenMapping, console: RunConsole
) -> list[dict[str, Any]]:
    """One table for each of the job's budgets."""
    methods: list[Method] = [Full(), Sample(), AvgPool2d(), Mapped(mapping)]
    tables = []
    for ratio in job.settings.measured_ratios:
        with console.progress(f"accuracy at {ratio}") as on_progress:
            table = evaluate(
                adapter,
                corpus,
                methods,
                ratio,
                job.settings.positions,
                windows=mapping.windows,
                on_progress=on_progress,
            )
        tables.append(table)
    return tables
