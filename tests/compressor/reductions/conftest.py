"""Pictures of a few tokens whose tower says what a test wants it to say."""

import pytest
import torch

from metacompress_compressor.adapters import TowerLayer, VisionContext
from metacompress_compressor.layout import PictureLayout
from metacompress_compressor.reductions import Budget, PictureBatch
from metacompress_compressor.windows import Grid


class Tower:
    """Stands in for a model: CLS asks `scores` of each patch, and patches have given keys."""

    def __init__(self, scores, keys):
        # CLS's query is one in a channel of its own, where each patch's key holds its score.
        num_pictures, num_patches, width = keys.shape
        queries = torch.zeros(num_pictures, 1, num_patches + 1, width + 1)
        queries[:, :, 0, -1] = (width + 1) ** 0.5
        all_keys = torch.zeros_like(queries)
        all_keys[:, 0, 1:, :-1] = 1e4 * keys  # so that the scores do not turn the keys
        all_keys[:, 0, 1:, -1] = scores
        self._layer = TowerLayer(queries, all_keys)

    def vision_context(self, pictures):
        return VisionContext(last=self._layer, penultimate=self._layer)


@pytest.fixture
def make_pictures():
    """Builds a batch from tokens `[B, N, D]`, a grid, CLS scores `[B, N]` and keys `[B, N, C]`."""

    def make(tokens, grid, scores=None, keys=None):
        scores = torch.zeros(tokens.shape[:2]) if scores is None else scores
        keys = tokens if keys is None else keys
        return PictureBatch(tokens, PictureLayout.of_grid(grid), Tower(scores, keys), list)

    return make


@pytest.fixture
def budget_of():
    """The budget that leaves `m` tokens of a grid by the one-dimensional rule."""

    def make(grid: Grid, m: int):
        budget = Budget(PictureLayout.of_grid(grid), m / grid.num_tokens, "1d")
        assert budget.num_tokens == m
        return budget

    return make
