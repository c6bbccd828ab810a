"""What is asked of a server and what came back, as the client's process reads and writes it."""

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Question:
    """One turn.

    expected: the right answer; what stands in the dialogue afterwards where answers are scripted.
    """

    text: str
    expected: str


@dataclass(frozen=True)
class Dialogue:
    """A dialogue about one picture, which goes with the first question and is resent later.

    picture: path of the file; None for a dialogue without one.
    """

    name: str
    picture: str | None
    questions: tuple[Question, ...]

    @classmethod
    def read(cls, found: dict[str, Any]) -> "Dialogue":
        questions = tuple(Question(**question) for question in found["questions"])
        return cls(found["name"], found["picture"], questions)


@dataclass(frozen=True)
class Answers:
    """How answers are asked for.

    max_tokens: the longest answer.
    scripted: the answer has exactly `max_tokens` tokens whatever they are, and the expected one
        stands in the dialogue (random weights); else it ends by itself, is compared with the
        expected one, and stands there as it came.
    image_tokens: what the picture must cost by the server's own count; None where not known.
    detail: of the picture.
    """

    max_tokens: int
    scripted: bool
    image_tokens: int | None = None
    detail: str | None = None


@dataclass(frozen=True)
class Load:
    """One stretch of load on one server.

    loop: `closed` holds `at_once` dialogues at any time; `rounds` asks every dialogue its first
        question, then every dialogue its second, `at_once` at any time, so that sessions lie idle
        between; `open` begins dialogues at `rate` per second (Poisson), however many there are.
    think_s: between a dialogue's answer and its next question.
    longest_s: after which everything unfinished is a failure.
    """

    url: str
    model: str
    dialogues: tuple[Dialogue, ...]
    answers: Answers
    loop: Literal["closed", "rounds", "open"] = "closed"
    at_once: int = 1
    rate: float = 1.0
    think_s: float = 0.0
    longest_s: float = 120.0
    seed: int = 0

    @classmethod
    def read(cls, found: dict[str, Any]) -> "Load":
        dialogues = tuple(Dialogue.read(one) for one in found.pop("dialogues"))
        return cls(dialogues=dialogues, answers=Answers(**found.pop("answers")), **found)


@dataclass(frozen=True)
class Turn:
    """One answered or failed question.

    number: of the turn in its dialogue, from 0.
    started_s: since the load began.
    ttft_s, gaps_s, total_s: to the first token, between chunks, to the end.
    right: None where there is no right answer.
    failure: why there is no answer; None where there is one.
    """

    dialogue: str
    number: int
    started_s: float
    ttft_s: float = 0.0
    gaps_s: tuple[float, ...] = ()
    total_s: float = 0.0
    tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    image_tokens: int = 0
    images_reused: int | None = None
    right: bool | None = None
    answer: str = ""
    failure: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a load.

    seconds: from its beginning to the last answer.
    moved: how far the server's counters moved meanwhile.
    """

    turns: tuple[Turn, ...]
    seconds: float
    moved: dict[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, found: dict[str, Any]) -> "Outcome":
        turns = tuple(Turn(**{**turn, "gaps_s": tuple(turn["gaps_s"])}) for turn in found["turns"])
        return cls(turns, found["seconds"], found["moved"])
