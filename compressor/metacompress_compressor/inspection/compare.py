"""What the learned P looks at, beside what equidistant sampling and the class token would."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from metacompress_compressor.adapters import Adapter, AdapterError
from metacompress_compressor.layout import PictureLayout
from metacompress_compressor.reductions import Budget, PictureBatch, Sample
from metacompress_compressor.windows import Grid, WindowKind

from .measure import unseen_share


@dataclass(frozen=True)
class Overview:
    """A light over a whole picture.

    Attributes:
        caption: what it shows.
        light: `[N]`, how much of it falls on each token.
    """

    caption: str
    light: Tensor


@dataclass(frozen=True)
class Comparison:
    """The coverage of P, and what else might decide where to look.

    Attributes:
        coverage: column sums of P, `[N]`.
        sampling: one for each token of equidistant sampling of the same number, `[N]`.
        attention: of the class token in the layer that LLaVA reads, mean over heads, `[N]`; None
            for a family that does not give it.
    """

    coverage: Tensor
    sampling: Tensor
    attention: Tensor | None

    def figures(self) -> dict[str, float | None]:
        """For a line of JSON: who leaves how much unseen, and whether P follows the class token."""
        m = round(float(self.sampling.sum()))
        figures: dict[str, float | None] = {
            "sampling_unseen_share": round(unseen_share(self.sampling), 4),
            "correlation_with_cls_attention": None,
            "cls_attention_on_its_top_m": None,
        }
        if self.attention is not None:
            pair = torch.stack([self.coverage, self.attention])
            top = self.attention.topk(m).values.sum() / self.attention.sum()
            figures["correlation_with_cls_attention"] = round(float(torch.corrcoef(pair)[0, 1]), 4)
            figures["cls_attention_on_its_top_m"] = round(float(top), 4)
        return figures

    def overviews(self, max_column_sum: float, unseen: float) -> list[Overview]:
        """The panels of a sheet, P's coverage first."""
        m = round(float(self.sampling.sum()))
        of_sampling = f"equidistant sampling of {m}: unseen {unseen_share(self.sampling):.0%}"
        panels = [
            Overview(
                f"coverage by {m}: largest column sum {max_column_sum:.2f}, unseen {unseen:.0%}",
                self.coverage,
            ),
            Overview(of_sampling, self.sampling),
        ]
        if self.attention is not None:
            share = self.figures()["correlation_with_cls_attention"]
            caption = f"CLS attention of the tower: correlation with coverage {share:.2f}"
            panels.append(Overview(caption, self.attention))
        return panels


def compare(
    adapter: Adapter, pictures: Sequence[Image.Image], visual: Tensor, weights: Tensor
) -> Comparison:
    """Compare P with the alternatives on one picture.

    Args:
        adapter: the model.
        pictures: the picture alone.
        visual: its tokens `[1, N, D]`.
        weights: P `[M, N]`.
    """
    m, n = weights.shape
    layout = PictureLayout.of_grid(Grid(1, n))
    windows: WindowKind = "1d"
    sampled = Sample()(PictureBatch(visual, layout), Budget(layout, m / n, windows)).positions[0]
    try:
        attention = adapter.vision_context(pictures).penultimate.cls_attention[0].mean(dim=0)
    except AdapterError:
        attention = None
    sampling = torch.zeros(n).scatter(0, sampled.cpu(), 1.0)
    return Comparison(weights.sum(dim=0), sampling, attention)
