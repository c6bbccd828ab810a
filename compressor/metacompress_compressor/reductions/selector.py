"""A learned selector: a small network scores every token, the best m stay as they are."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save, save_file
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm

from metacompress_compressor.windows import WindowKind

from .base import Budget, PictureBatch, Reduced, keep

_WEIGHTS = "selector.safetensors"
_RECORD = "selector.json"


class SelectorError(ValueError):
    """A selector that cannot be used. The message is one line."""


class TokenScorer(nn.Module):
    """How much each visual token is worth keeping, seen beside the whole picture.

    `s_j = w . gelu(LN(x_j) A + mean(LN(x)) B + b)`: the tokens' own content, and the picture's.

    Args:
        hidden_size: D, channels of a visual token.
        width: of the hidden layer.
    """

    def __init__(self, hidden_size: int, width: int = 128) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.width = width
        self.own = nn.Linear(hidden_size, width)
        self.picture = nn.Linear(hidden_size, width, bias=False)
        self.score = nn.Linear(width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Scores `[B, N]` float32 of tokens `[B, N, D]`."""
        normal = layer_norm(x.float(), (self.hidden_size,))
        mixed = self.own(normal) + self.picture(normal.mean(dim=1, keepdim=True))
        scores: Tensor = self.score(gelu(mixed)).squeeze(-1)
        return scores


@dataclass(frozen=True)
class Selector:
    """Keeps the m tokens with the highest scores.

    The closest learned rival of the mapping: it chooses, the mapping mixes. Which tokens stay
    differs from picture to picture, so a server could not lay out their positions beforehand.

    Args:
        scorer: on the tokens' device.
        name: tells several selectors apart.

    Source: the idea of VisionSelector, arXiv 2510.16598; the network is this project's.
    """

    scorer: TokenScorer
    name: str = "selector"
    windows: ClassVar[WindowKind | None] = None

    @torch.no_grad()
    def __call__(self, pictures: PictureBatch, budget: Budget) -> Reduced:
        scores = self.scorer(pictures.tokens)
        return keep(pictures.tokens, scores.topk(budget.num_tokens, dim=1).indices)


def save_selector(folder: Path, scorer: TokenScorer, record: dict[str, Any]) -> None:
    """Write weights and record (the model's fingerprint, settings, data) to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(scorer.state_dict(), folder / _WEIGHTS)
    shape = {"hidden_size": scorer.hidden_size, "width": scorer.width}
    (folder / _RECORD).write_text(json.dumps({**shape, **record}, indent=1) + "\n")


def weights_digest(scorer: TokenScorer) -> str:
    """SHA-256 of the weights, which tells two selectors of one name apart."""
    return hashlib.sha256(save(scorer.state_dict())).hexdigest()


def load_selector(folder: Path, fingerprint: str) -> tuple[TokenScorer, dict[str, Any]]:
    """The scorer in `folder` and its record.

    Args:
        fingerprint: of the model that the tokens come from.

    Raises:
        SelectorError: files that cannot be read, or made for another model.
    """
    try:
        record: dict[str, Any] = json.loads((folder / _RECORD).read_text())
        scorer = TokenScorer(record["hidden_size"], record["width"])
        scorer.load_state_dict(load_file(folder / _WEIGHTS))
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise SelectorError(f"cannot read the selector in {folder}: {reason}") from error
    if record.get("fingerprint") != fingerprint:
        raise SelectorError(f"the selector in {folder} was trained for another model")
    return scorer.eval(), record
