"""Forward passes of the language model over visual embeddings, and the answer loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import LlavaForConditionalGeneration

from .sequences import IGNORED, Batch


def insert_visual(embeddings: Tensor, visual: Tensor, start: Tensor) -> Tensor:
    """Puts visual embeddings `[B, V, d]` into `[B, T, d]` from each row's start on."""
    places = start[:, None] + torch.arange(visual.shape[1])
    return embeddings.scatter(1, places[..., None].expand_as(visual), visual.to(embeddings.dtype))


def answer_logits(
    model: LlavaForConditionalGeneration, batch: Batch, visual: Tensor
) -> tuple[Tensor, Tensor]:
    """Logits at every place that predicts an answer token.

    Args:
        model: The embedded model.
        batch: The dialogues.
        visual: Visual embeddings `[B, V, d]`.

    Returns:
        Logits `[A, vocabulary]`, float32, and the right ids `[A]`.
    """
    language = model.model.language_model
    embeddings = insert_visual(language.embed_tokens(batch.ids), visual, batch.visual_start)
    # Without an explicit mask, transformers takes a jump in the positions for a new sequence packed
    # into the same row, and the answers could not see the picture.
    hidden = language(
        inputs_embeds=embeddings,
        position_ids=batch.positions,
        attention_mask=torch.ones_like(batch.ids),
        use_cache=False,
    ).last_hidden_state
    wanted = batch.labels != IGNORED
    return model.lm_head(hidden[wanted]).float(), batch.labels[wanted]


def answer_loss(
    model: LlavaForConditionalGeneration, batch: Batch, visual: Tensor
) -> tuple[Tensor, float]:
    """Mean cross-entropy over answer tokens, and the share of tokens predicted rightly."""
    logits, labels = answer_logits(model, batch, visual)
    accuracy = (logits.argmax(-1) == labels).float().mean().item()
    return F.cross_entropy(logits, labels), accuracy
