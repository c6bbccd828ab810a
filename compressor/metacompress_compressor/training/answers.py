"""The full model's own greedy answers in place of those in the data, kept on disk."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from metacompress_compressor.adapters import Adapter, EncodedDialogue

from .corpus import Corpus
from .dialogues import Dialogue, DialogueSet
from .disk_cache import checkpoint_digest

MAX_ANSWER_TOKENS = 128
_DIALOGUES_AT_ONCE = 16


def with_teacher_answers(
    adapter: Adapter,
    corpus: Corpus,
    data: DialogueSet,
    cache_dir: Path,
    on_progress: Callable[[int, int], None],
) -> DialogueSet:
    """Dialogues whose answers are what the full model says, each after its own earlier answers.

    An answer ends with the end token or after `MAX_ANSWER_TOKENS`. A dialogue with an empty answer
    is set aside as a problem.

    Args:
        adapter: the model.
        corpus: the dialogues with their pictures' visual tokens.
        data: the same dialogues, as they were read.
        cache_dir: folder for the answers, `answers-<key>.json`.
        on_progress: called with answers done and answers in all.
    """
    path = cache_dir / f"answers-{_key(adapter, corpus)}.json"
    if not path.exists():
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(_generate(adapter, corpus, on_progress), ensure_ascii=False))
        partial.rename(path)
    answers: list[list[str]] = json.loads(path.read_text())
    kept: list[Dialogue] = []
    problems: list[str] = []
    for dialogue, said in zip(data.dialogues, answers, strict=True):
        if not all(said):
            problems.append(f"{dialogue.source}: the model gives an empty answer")
            continue
        turns = [
            replace(turn, answer=answer) for turn, answer in zip(dialogue.turns, said, strict=True)
        ]
        kept.append(replace(dialogue, turns=tuple(turns)))
    return DialogueSet(tuple(kept), tuple(problems))


def _generate(
    adapter: Adapter, corpus: Corpus, on_progress: Callable[[int, int], None]
) -> list[list[str]]:
    """Answers of every dialogue, turn by turn: all first turns, then all second ones."""
    answers: list[list[str]] = [[] for _ in corpus.dialogues]
    total, done = sum(len(dialogue.turns) for dialogue in corpus.dialogues), 0
    for turn in range(max(len(dialogue.turns) for dialogue in corpus.dialogues)):
        asked = [i for i, dialogue in enumerate(corpus.dialogues) if len(dialogue.turns) > turn]
        prompts = {i: _prompt(adapter, corpus.dialogues[i], answers[i]) for i in asked}
        asked.sort(key=lambda i: len(prompts[i].token_ids))
        for start in range(0, len(asked), _DIALOGUES_AT_ONCE):
            some = asked[start : start + _DIALOGUES_AT_ONCE]
            visual = [corpus.visual(i, adapter.device) for i in some]
            said = adapter.generate([prompts[i] for i in some], visual, MAX_ANSWER_TOKENS)
            for i, answer in zip(some, said, strict=True):
                answers[i].append(answer)
            done += len(some)
            on_progress(done, total)
    return answers


def _prompt(adapter: Adapter, dialogue: Dialogue, answers: Sequence[str]) -> EncodedDialogue:
    """A dialogue up to the question after `answers`; an empty answer stands as the data's."""
    turns = [
        replace(turn, answer=answer or turn.answer)
        for turn, answer in zip(dialogue.turns, answers, strict=False)
    ]
    return adapter.dialogues.encode_prompt([*turns, dialogue.turns[len(turns)]])


def _key(adapter: Adapter, corpus: Corpus) -> str:
    digest = hashlib.sha256(checkpoint_digest(adapter.model_dir).encode())
    digest.update(f"{corpus.features.key} {MAX_ANSWER_TOKENS}".encode())
    for dialogue, row in zip(corpus.dialogues, corpus.image_rows, strict=True):
        questions = [[turn.question, turn.answer] for turn in dialogue.turns]
        digest.update(json.dumps([row, questions]).encode())
    return digest.hexdigest()[:32]
