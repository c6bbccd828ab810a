"""From scores to records: one for each trial, with intervals and comparisons."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metacompress_compressor.training.corpus import Corpus

from .bootstrap import Bootstrap, Estimate, Floats
from .contestants import Contestant
from .outcomes import Scores
from .scoring import Trial
from .summary import visual_tokens


class ScoreBoard:
    """All trials of one evaluation side by side.

    Args:
        corpus: the dialogues.
        trials: who takes part.
        scores: of each trial, for every dialogue.
    """

    def __init__(
        self, corpus: Corpus, trials: Mapping[Trial, Contestant], scores: Mapping[Trial, Scores]
    ) -> None:
        self._corpus = corpus
        self._trials = trials
        self._bootstrap = Bootstrap(len(corpus))
        self._table = {trial: _table(corpus, scores[trial]) for trial in trials}
        self._full = next(t for t, contestant in trials.items() if contestant.kind == "full")

    def record(self, trial: Trial) -> dict[str, Any]:
        """Accuracy of a trial, all of it with intervals, and for a mapping its lead."""
        contestant, table = self._trials[trial], self._table[trial]
        record: dict[str, Any] = {
            "method": trial.method.name,
            "label": contestant.label,
            "kind": contestant.kind,
            "settings": contestant.settings,
            "form": contestant.form,
            "trained_positions": contestant.own_positions,
            "retention_ratio": trial.retention_ratio,
            "windows": trial.windows,
            "positions": trial.positions,
            "visual_tokens": self.visual_tokens(trial),
            "accuracy": self._bootstrap.mean(table).record(),
            "retention": self._bootstrap.ratio(table, self._table[self._full]).record(),
            "per_turn": [
                self._bootstrap.mean(table[:, [turn]]).record() for turn in range(table.shape[1])
            ],
            "per_kind": self._per_kind(table),
        }
        if contestant.kind == "mapping":
            record["lead"] = self._lead(trial)
        return record

    def visual_tokens(self, trial: Trial) -> float:
        """Tokens of a picture, the mean over the dialogues."""
        counts = [visual_tokens(self._corpus, trial, index) for index in range(len(self._corpus))]
        return round(sum(counts) / len(counts), 2)

    def _lead(self, trial: Trial) -> dict[str, Any] | None:
        """A mapping's lead over the best prompt-agnostic baseline of its budget.

        Baselines take part with both rules of positions. Over all turns, and in each turn against
        whichever is best there: chosen on the same answers, which favours the baseline.
        """
        rivals = [
            other
            for other, contestant in self._trials.items()
            if contestant.kind == "prompt-agnostic"
            and other.retention_ratio == trial.retention_ratio
        ]
        if not rivals:
            return None
        own = self._table[trial]
        turns = [[turn] for turn in range(own.shape[1])]
        return {
            "overall": self._lead_over(rivals, trial, list(range(own.shape[1]))),
            "per_turn": [self._lead_over(rivals, trial, turn) for turn in turns],
        }

    def _lead_over(self, rivals: Sequence[Trial], trial: Trial, turns: list[int]) -> dict[str, Any]:
        best = max(rivals, key=lambda rival: float(np.nanmean(self._table[rival][:, turns])))
        lead = self._bootstrap.difference(self._table[trial][:, turns], self._table[best][:, turns])
        return {
            "over": self._trials[best].label,
            "over_positions": best.positions,
            "over_tokens": self.visual_tokens(best),
            **lead.record(),
        }

    def _per_kind(self, table: Floats) -> dict[str, float]:
        places: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for row, dialogue in enumerate(self._corpus.dialogues):
            for turn, asked in enumerate(dialogue.turns):
                places[asked.kind].append((row, turn))
        return {
            kind: round(float(np.mean([table[place] for place in places[kind]])), 4)
            for kind in sorted(places)
        }


def significant(lead: Mapping[str, Any]) -> bool:
    """Whether a lead's whole interval lies above zero."""
    return Estimate(lead["value"], *lead["ci95"]).low > 0


def _table(corpus: Corpus, scores: Scores) -> Floats:
    """Scores `[D, T]`, NaN where a dialogue has fewer turns."""
    longest = max(len(dialogue.turns) for dialogue in corpus.dialogues)
    table = np.full((len(corpus), longest), np.nan)
    for index, of_dialogue in scores.items():
        table[index, : len(of_dialogue)] = of_dialogue
    return table
