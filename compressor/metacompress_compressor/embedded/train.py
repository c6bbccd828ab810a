"""Trains the embedded model from nothing; `--help` tells how.

Six stages, each resumable: the tower learns to see, the language model to answer from symbolic
pictures, first short and then long dialogues, the projector to turn the one into the other, and
then all of it learns together, in the end with more of the kinds of question learned last.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch

from .loop import run_stage
from .stages import (
    AlignmentStage,
    JointStage,
    LanguageStage,
    Stage,
    Student,
    TowerStage,
    dialogue_stage,
    polish_stage,
)

_LANGUAGE: Final = ("model.model.language_model.", "model.lm_head.", "symbols.")
#: Stage -> its steps, the stages whose weights it starts from, and the weights it hands on.
STEPS: Final = {
    "tower": 1600,
    "language": 2400,
    "dialogue": 400,
    "alignment": 200,
    "joint": 600,
    "polish": 300,
}
_BUILDS_ON: Final = {
    "tower": (),
    "language": (),
    "dialogue": ("language",),
    "alignment": ("tower", "dialogue"),
    "joint": ("tower", "dialogue", "alignment"),
    "polish": ("joint",),
}
_HANDS_ON: Final = {
    "tower": ("model.model.vision_tower.", "heads."),
    "language": _LANGUAGE,
    "dialogue": _LANGUAGE,
    "alignment": ("model.model.multi_modal_projector.",),
    "joint": ("model.", "heads."),
}


def make_stage(name: str, student: Student, steps: int) -> Stage:
    """The stage of a name, a key of `STEPS`."""
    stages: dict[str, Callable[[Student, int], Stage]] = {
        "tower": TowerStage,
        "language": LanguageStage,
        "dialogue": dialogue_stage,
        "alignment": AlignmentStage,
        "joint": JointStage,
        "polish": polish_stage,
    }
    return stages[name](student, steps)


def load_earlier_stages(student: Student, folder: Path, name: str) -> None:
    """Takes over what the stages that `name` builds on have learned.

    Raises:
        FileNotFoundError: One of them has no checkpoint.
    """
    for earlier in _BUILDS_ON[name]:
        path = folder / f"{earlier}.pt"
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing: stage {name} builds on stage {earlier}")
        state = torch.load(path, weights_only=True)["student"]
        wanted = {key: value for key, value in state.items() if key.startswith(_HANDS_ON[earlier])}
        student.load_state_dict(wanted, strict=False)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m metacompress_compressor.embedded.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("runs/embedded"), help="run folder")
    parser.add_argument("--stages", nargs="+", choices=list(STEPS), default=list(STEPS))
    parser.add_argument("--steps", type=int, help="steps of every chosen stage (default: its own)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: torch's)")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.stages:
        torch.manual_seed(arguments.seed)
        student = Student()
        load_earlier_stages(student, arguments.out, name)
        stage = make_stage(name, student, arguments.steps or STEPS[name])
        run_stage(stage, student, arguments.out, arguments.seed)


if __name__ == "__main__":
    main()
