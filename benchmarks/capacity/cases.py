"""The cases of docs/capacity.md: models on GPUs, and the dialogue that all of them hold."""

from collections.abc import Sequence
from dataclasses import dataclass

from metacompress_server.capacity.estimate import Machine, Plan, make_plan
from metacompress_server.capacity.gpus import GIB, GPUS
from metacompress_server.capacity.memory import KvLayout, assumed_reserve, gpu_pool
from metacompress_server.capacity.published import PUBLISHED
from metacompress_server.capacity.sessions import Budget, Dialogue

RATIOS = (0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05)
DIALOGUE = Dialogue(
    turns=5, question_tokens=30, answer_tokens=70, pictures=1, width=1280, height=960
)
TURNS = (1, 2, 3, 5, 8, 12, 20, 30)
"""Of dialogues of other lengths, 100 tokens each."""

_UTILIZATION = 0.9
_BLOCK = 16


@dataclass(frozen=True)
class Case:
    """A model on some GPUs of one kind, all of them one replica."""

    model: str
    gpu: str
    gpus: int = 1

    @property
    def hardware(self) -> str:
        return f"{self.gpus} x {self.gpu}"


MODELS = (
    Case("llava-1.5-7b", "H100-80GB"),
    Case("llava-1.5-13b", "H100-80GB"),
    Case("llava-next-7b", "H100-80GB"),
    Case("llava-next-34b", "H100-80GB", 2),
    Case("llava-next-72b", "H100-80GB", 4),
    Case("qwen2.5-vl-7b", "H100-80GB"),
    Case("qwen2.5-vl-72b", "H100-80GB", 4),
)
ONE_MODEL = tuple(
    Case("llava-1.5-7b", gpu) for gpu in ("L4", "A100-40GB", "L40S", "H100-80GB", "H200-141GB")
)


def plan(case: Case, ratios: Sequence[float] = RATIOS, dialogue: Dialogue = DIALOGUE) -> Plan:
    """As `metacompress plan` makes it, with its defaults; a replica on all GPUs of the case."""
    model, gpu = PUBLISHED[case.model], GPUS[case.gpu]
    pool = gpu_pool(
        2 * model.weights,
        int(gpu.memory_gib * GIB),
        _UTILIZATION,
        case.gpus,
        assumed_reserve(model, case.gpus),
    )
    machine = Machine(case.hardware, replicas=1, pool=pool)
    kv = KvLayout(2, _BLOCK, case.gpus)
    return make_plan(model, machine, dialogue, kv, [Budget(ratio) for ratio in ratios])
