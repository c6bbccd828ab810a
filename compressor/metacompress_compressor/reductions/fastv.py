"""FastV: picture tokens dropped inside the language model, by what the first question looks at."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from metacompress_compressor.adapters import Adapter, DialogueBatch, Placement
from metacompress_compressor.adapters.sequence import splice
from metacompress_compressor.windows import WindowKind

from .base import PictureBatch, take


@dataclass(frozen=True)
class FastV:
    """All n tokens up to layer `layers`, then the m that the first question attends to most.

    The attention is that of the layer before, from the last token of the first question's prompt,
    averaged over heads. In a dialogue the choice of the first turn stays: the keys and values of
    the dropped tokens are gone. So the method depends on the question, cannot share a picture's
    keys and values between dialogues, and keeps n tokens in the first layers.

    With kept positions the kept tokens and the text stay where they were, as in the method's own
    code; with contiguous ones they are renumbered from the layer on that drops.

    For language models of LLaMA's layout.

    Args:
        layers: K, how many layers see all tokens.

    Source: Chen et al., arXiv 2403.06764.
    """

    layers: int = 2
    name: ClassVar[str] = "fastv_turn_1"
    windows: ClassVar[WindowKind | None] = None

    def start(
        self, adapter: Adapter, batch: DialogueBatch, pictures: PictureBatch
    ) -> "FirstLayers":
        """Run the first layers on a batch of dialogues, once for all budgets."""
        return FirstLayers(adapter, batch, pictures.tokens, self.layers)


class FirstLayers:
    """A batch after the layers that see all tokens.

    Args:
        adapter: the model.
        batch: dialogues, on the model's device.
        visual: `[B, N, D]`, all tokens.
        layers: K.
    """

    def __init__(self, adapter: Adapter, batch: DialogueBatch, visual: Tensor, layers: int) -> None:
        self._language_model = adapter.model.model.language_model
        self._head = adapter.model.lm_head
        self._batch = batch
        self._layers = layers
        self._num_visual = visual.shape[1]
        text = adapter.model.get_input_embeddings()(batch.token_ids)
        everything = Placement.contiguous(self._num_visual)
        embeddings, self._positions = splice(text, visual, batch.image_index, everything)
        before = self._run(embeddings, self._positions, 0, layers - 1)
        self._attention = self._attention_to_picture(before)
        self._hidden = self._run(before, self._positions, layers - 1, layers)

    def answer_logits(self, num_tokens: int, contiguous: bool) -> Tensor:
        """Logits of every answer token, `[A, V]`, as `Adapter.answer_logits`.

        Args:
            num_tokens: m.
            contiguous: whether the kept tokens and the text are renumbered.
        """
        kept = self._attention.topk(num_tokens, dim=1).indices.sort(dim=1).values
        places = self._places(kept)
        hidden = take(self._hidden, places)
        numbers = torch.arange(places.shape[1], device=places.device).expand_as(places)
        positions = numbers if contiguous else places
        hidden = self._run(hidden, positions, self._layers, len(self._language_model.layers))
        hidden = self._language_model.norm(hidden)
        predicted_from = self._batch.answer_cols + num_tokens - 2
        logits: Tensor = self._head(hidden[self._batch.answer_rows, predicted_from])
        return logits

    def _places(self, kept: Tensor) -> Tensor:
        """Where in the whole sequence the text and the kept picture tokens stand, in order."""
        length = self._hidden.shape[1]
        place = torch.arange(length, device=kept.device).expand(len(kept), -1)
        image = self._batch.image_index.unsqueeze(1)
        is_text = (place < image) | (place >= image + self._num_visual)
        stays = is_text.scatter(1, image + kept, value=True)
        return place[stays].reshape(len(kept), length - self._num_visual + kept.shape[1])

    def _run(self, hidden: Tensor, positions: Tensor, start: int, stop: int) -> Tensor:
        """Layers `start` to `stop`. No mask: attention is causal, and padding stands behind."""
        rope = self._language_model.rotary_emb(hidden, position_ids=positions)
        for layer in self._language_model.layers[start:stop]:
            hidden = layer(
                hidden, attention_mask=None, position_ids=positions, position_embeddings=rope
            )
        return hidden

    def _attention_to_picture(self, hidden: Tensor) -> Tensor:
        """Attention of the first prompt's last token to the picture in layer K - 1, `[B, N]`."""
        layer = self._language_model.layers[self._layers - 1]
        attention, normed = layer.self_attn, layer.input_layernorm(hidden)
        head_size = attention.head_dim
        cos, sin = self._language_model.rotary_emb(hidden, position_ids=self._positions)
        queries = _rotate(_heads(attention.q_proj(normed), head_size), cos, sin)
        keys = _rotate(_heads(attention.k_proj(normed), head_size), cos, sin)
        keys = keys.repeat_interleave(queries.shape[1] // keys.shape[1], dim=1)

        asks = self._first_prompt_end()
        query = take(queries.transpose(1, 2), asks.unsqueeze(1)).transpose(1, 2)
        scores = (query @ keys.transpose(-1, -2)).squeeze(2).float() * head_size**-0.5
        place = torch.arange(hidden.shape[1], device=hidden.device)
        seen = place <= asks.unsqueeze(1)
        weights = scores.masked_fill(~seen.unsqueeze(1), float("-inf")).softmax(-1).mean(1)
        image = self._batch.image_index.unsqueeze(1)
        picture = image + torch.arange(self._num_visual, device=hidden.device)
        return take(weights, picture)

    def _first_prompt_end(self) -> Tensor:
        """Where the token before each dialogue's first answer stands, `[B]`."""
        rows, cols = self._batch.answer_rows, self._batch.answer_cols
        first = torch.full_like(self._batch.image_index, torch.iinfo(torch.int64).max)
        first.scatter_reduce_(0, rows, cols, "amin")
        return first + self._num_visual - 2


def _heads(projected: Tensor, head_size: int) -> Tensor:
    return projected.reshape(*projected.shape[:2], -1, head_size).transpose(1, 2)


def _rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions in the two-halves layout, `heads` `[B, H, L, Dh]`."""
    first, second = heads.chunk(2, dim=-1)
    turned = torch.cat([-second, first], dim=-1)
    return heads * cos.unsqueeze(1) + turned * sin.unsqueeze(1)
