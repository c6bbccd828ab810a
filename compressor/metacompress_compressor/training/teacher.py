"""The teacher's logits of every answer token, computed once instead of in every step."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from metacompress_compressor.adapters import Adapter, DialogueBatch, EncodedDialogue, Placement

from .corpus import Corpus
from .disk_cache import cached_tensor, checkpoint_digest

_DIALOGUES_AT_ONCE = 16


class CachedTeacher:
    """Logits `[answer tokens, V]` of a whole corpus.

    Args:
        logits: in the order of the corpus' dialogues.
        edges: dialogue i has the rows `edges[i]` up to `edges[i + 1]`.
        device: where the batches are wanted.
    """

    def __init__(self, logits: Tensor, edges: Sequence[int], device: torch.device) -> None:
        self._logits = logits
        self._edges = edges
        self._device = device

    def __call__(self, indices: Sequence[int]) -> Tensor:
        """Logits of the answers of some dialogues, in the order of a batch of them."""
        parts = [self._logits[self._edges[i] : self._edges[i + 1]] for i in indices]
        return torch.cat(parts).to(self._device)


@torch.no_grad()
def teacher_logits(adapter: Adapter, batch: DialogueBatch, visual: Sequence[Tensor]) -> Tensor:
    """The frozen model's own logits, given all visual tokens, `[N, D]` of each picture."""
    everything = [Placement.contiguous(len(tokens)) for tokens in visual]
    return adapter.answer_logits(batch, visual, everything)


def cached_teacher(
    adapter: Adapter,
    corpus: Corpus,
    cache_dir: Path,
    on_progress: Callable[[int, int], None],
) -> CachedTeacher:
    """Logits of all answers of `corpus`, from the cache if it holds them.

    Their size is answer tokens x vocabulary x bytes of the model's dtype: 90 kB for a dialogue of
    ten turns with a vocabulary of 704, 4 MB with one of 32,000.

    Args:
        adapter: the frozen model, in the dtype to train with.
        corpus: dialogues with features.
        cache_dir: folder for the file.
        on_progress: called with dialogues done and dialogues in all.
    """
    edges = answer_edges(corpus.encoded)
    dtype: torch.dtype = adapter.model.dtype
    vocabulary: int = adapter.model.get_output_embeddings().weight.shape[0]

    def fill(logits: Tensor) -> None:
        order = sorted(range(len(corpus)), key=lambda i: len(corpus.encoded[i].token_ids))
        for start in range(0, len(order), _DIALOGUES_AT_ONCE):
            indices = order[start : start + _DIALOGUES_AT_ONCE]
            batch = corpus.text(indices, adapter.device)
            visual = [corpus.visual(index, adapter.device) for index in indices]
            found = teacher_logits(adapter, batch, visual).cpu()
            sizes = [edges[i + 1] - edges[i] for i in indices]
            for index, rows in zip(indices, torch.split(found, sizes), strict=True):
                logits[edges[index] : edges[index + 1]] = rows
            on_progress(start + len(indices), len(order))

    path = cache_dir / f"teacher-{_key(adapter, corpus)}.bin"
    logits = cached_tensor(path, (edges[-1], vocabulary), dtype, fill)
    on_progress(len(corpus), len(corpus))
    return CachedTeacher(logits, edges, adapter.device)


def answer_edges(encoded: Sequence[EncodedDialogue]) -> list[int]:
    """Dialogue i has the answer tokens `edges[i]` up to `edges[i + 1]` of all."""
    edges = [0]
    for dialogue in encoded:
        edges.append(edges[-1] + sum(map(len, dialogue.answer_indices)))
    return edges


def _key(adapter: Adapter, corpus: Corpus) -> str:
    digest = hashlib.sha256(checkpoint_digest(adapter.model_dir).encode())
    digest.update(json.dumps([str(adapter.model.dtype), corpus.features.key]).encode())
    for encoded, row in zip(corpus.encoded, corpus.image_rows, strict=True):
        digest.update(json.dumps([encoded.token_ids, encoded.answer_indices, row]).encode())
    return digest.hexdigest()[:32]
