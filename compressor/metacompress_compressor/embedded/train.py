"""Trains the embedded model from nothing; `--help` tells how.

Four stages, each resumable: the tower learns to see, the language model to answer from symbolic
pictures, the projector to turn the one into the other, and then all of it learns together.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import torch

from .loop import run_stage
from .stages import AlignmentStage, JointStage, LanguageStage, Stage, Student, TowerStage

#: Stage -> prefixes of the weights that it hands on to the later stages.
_HANDED_ON: Final = {
    "tower": ("model.model.vision_tower.", "heads."),
    "language": ("model.model.language_model.", "model.lm_head.", "symbols."),
    "alignment": ("model.model.multi_modal_projector.",),
}
STEPS: Final = {"tower": 1600, "language": 1600, "alignment": 150, "joint": 900}


def make_stage(name: str, student: Student, steps: int) -> Stage:
    """The stage of a name, a key of `STEPS`."""
    stages = {
        "tower": TowerStage,
        "language": LanguageStage,
        "alignment": AlignmentStage,
        "joint": JointStage,
    }
    stage: Stage = stages[name](student, steps)
    return stage


def load_earlier_stages(student: Student, folder: Path, name: str) -> None:
    """Takes over what the stages before `name` have learned.

    Raises:
        FileNotFoundError: A stage that this one builds on has no checkpoint.
    """
    for earlier in list(STEPS)[: list(STEPS).index(name)]:
        if name in ("tower", "language"):
            continue
        path = folder / f"{earlier}.pt"
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing: stage {name} builds on stage {earlier}")
        state = torch.load(path, weights_only=True)["student"]
        wanted = {key: value for key, value in state.items() if key.startswith(_HANDED_ON[earlier])}
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
