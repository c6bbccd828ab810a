"""One of the two servers of a model, and what the capacity model says of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.contestants import FULL, MAIN, Contestant
from benchmarks.serving.turns import Answers, Dialogue, Load, Outcome, Turn
from metacompress_server.capacity.checkpoint_model import checkpoint_model
from metacompress_server.capacity.memory import KvLayout
from metacompress_server.capacity.models import ModelShape
from metacompress_server.capacity.sessions import Budget, SessionCost, session_cost
from metacompress_server.capacity.sessions import Dialogue as PlannedDialogue

RETENTION_RATIO = 0.1
BLOCK_TOKENS = 32
WORDS = ("tree", "cat", "left", "of", "the", "red", "above", "small", "dog", "there", "on", "big")
_ANSWER = Answers(max_tokens=8, scripted=True)
_KV_NUMBER_BYTES = 2


class CapacityCheckError(RuntimeError):
    """Something could not be measured. The message is one line."""


@dataclass(frozen=True)
class Subject:
    """One of the two servers of a model, and what is predicted for it."""

    contestant: Contestant
    url: str
    shape: ModelShape
    budget: Budget
    kv_bytes: int

    def cost(self, text_tokens: int) -> SessionCost:
        """Of a dialogue of one turn with so many tokens of question, and the answer's."""
        planned = PlannedDialogue(1, text_tokens, _ANSWER.max_tokens, 1, 256, 256)
        return session_cost(
            self.shape, planned, self.budget, KvLayout(_KV_NUMBER_BYTES, BLOCK_TOKENS)
        )

    def load(self, dialogues: Sequence[Dialogue], longest_s: float = 300.0) -> Load:
        return Load(self.url, "bench", tuple(dialogues), _ANSWER, longest_s=longest_s)

    @property
    def compressed(self) -> bool:
        return self.contestant.name == MAIN


def make_subject(contestant: Contestant, url: str) -> Subject:
    shape = checkpoint_model(Path(contestant.words[0]))
    flags = dict(zip(contestant.flags, contestant.flags[1:], strict=False))
    budget = Budget(1.0 if contestant.name == FULL else RETENTION_RATIO)
    return Subject(contestant, url, shape, budget, int(flags["--kv-cache-memory-bytes"]))


def good_turns(outcome: Outcome) -> tuple[Turn, ...]:
    """All turns of a load. Raises CapacityCheckError where one failed."""
    failures = [turn.failure for turn in outcome.turns if turn.failure]
    if failures:
        raise CapacityCheckError(f"{len(failures)} turns failed, the first: {failures[0]}")
    return outcome.turns
