"""Answers as the model gives them: greedy decoding, with its own earlier answers before it."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache

from metacompress_compressor.adapters import Adapter, Placement, TurnText
from metacompress_compressor.adapters.sequence import splice
from metacompress_compressor.reductions import FastV
from metacompress_compressor.training.corpus import Corpus

from .consensus import answer_score
from .scoring import Trial, pictures_of, placement_of, reduce_pictures

_ROOM = 8  # tokens more than the longest right answer before an answer is cut off


@torch.no_grad()
def score_generated(
    adapter: Adapter, corpus: Corpus, indices: Sequence[int], trials: Sequence[Trial]
) -> dict[Trial, list[list[float]]]:
    """Let every trial answer a few dialogues by itself; one dialogue after the other.

    Args and Returns as `score_batch`, with scores from 0 to 1 by `answer_score`.

    Raises:
        ValueError: FastV, which is measured with given answers only.
    """
    pictures = pictures_of(adapter, corpus, indices)
    max_tokens = max_answer_tokens(corpus)
    scores: dict[Trial, list[list[float]]] = {}
    for trial in trials:
        if isinstance(trial.method, FastV):
            raise ValueError("FastV is measured with given answers only")
        reduced = reduce_pictures(trial, pictures)
        at = placement_of(reduced, pictures.tokens.shape[1], trial.positions)
        scores[trial] = []
        for row, index in enumerate(indices):
            turns = corpus.dialogues[index].turns
            tokens = reduced.tokens[row : row + 1]
            own = _row(at, row)
            answers = dialogue_answers(adapter, turns, tokens, own, max_tokens)
            scores[trial].append(
                [
                    answer_score(given, turn.answer, turn.answers)
                    for given, turn in zip(answers, turns, strict=True)
                ]
            )
    return scores


def max_answer_tokens(corpus: Corpus) -> int:
    """Where an answer is cut off: a little beyond the longest right one."""
    answers = (ids for encoded in corpus.encoded for ids in encoded.answer_indices)
    return max(map(len, answers)) + _ROOM


def dialogue_answers(
    adapter: Adapter,
    turns: Sequence[TurnText],
    visual: Tensor,
    at: Placement,
    max_tokens: int,
) -> list[str]:
    """Ask a dialogue's questions one after the other; each answer stands before the next question.

    Args:
        adapter: the model.
        turns: only their questions are used.
        visual: `[1, M, D]`.
        at: where those M stand.
        max_tokens: of an answer.
    """
    said: list[TurnText] = []
    for turn in turns:
        answer = _answer(adapter, [*said, TurnText(turn.question, "?")], visual, at, max_tokens)
        said.append(TurnText(turn.question, answer))
    return [turn.answer for turn in said]


def _answer(
    adapter: Adapter, turns: list[TurnText], visual: Tensor, at: Placement, max_tokens: int
) -> str:
    """The greedy answer to the last question, whose own answer is a stand-in."""
    prompt = adapter.dialogues.encode_prompt(turns)
    embed = adapter.model.get_input_embeddings()
    text = embed(torch.tensor([prompt.token_ids], device=adapter.device))
    image = torch.tensor([prompt.image_index], device=adapter.device)
    embeddings, positions = splice(text, visual, image, at)

    tokenizer = adapter.processor.tokenizer
    cache = DynamicCache()
    given: list[int] = []
    seen, position = embeddings.shape[1], int(positions[0, -1])
    while len(given) < max_tokens:
        hidden = adapter.model.model.language_model(
            inputs_embeds=embeddings,
            position_ids=positions,
            # As in `Adapter.answer_logits`: gaps in the positions are no borders.
            attention_mask=torch.ones(1, seen, dtype=torch.int64, device=adapter.device),
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        token = int(adapter.model.lm_head(hidden[:, -1]).argmax())
        if token == tokenizer.eos_token_id:
            break
        given.append(token)
        seen, position = seen + 1, position + 1
        embeddings = embed(torch.tensor([[token]], device=adapter.device))
        positions = torch.tensor([[position]], device=adapter.device)
    decoded: str = tokenizer.decode(given, skip_special_tokens=True)
    return decoded.strip()


def _row(at: Placement, row: int) -> Placement:
    if isinstance(at.offsets, Tensor):
        return Placement(at.offsets[row : row + 1], at.span)
    return at
