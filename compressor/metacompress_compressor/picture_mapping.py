"""The mapping applied to whole pictures: part by part, newline tokens passed through."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from .layout import Part, PictureLayout, compressed_layout
from .mapping import TokenMapping
from .windows import Grid, WindowKind


def compress_pictures(
    mapping: TokenMapping, x: Tensor, layout: PictureLayout, retention_ratio: float
) -> Tensor:
    """Compress pictures of one layout.

    Args:
        mapping: one mapping for all parts.
        x: `[B, N, D]` visual tokens in the order of `layout`.
        layout: of the pictures.
        retention_ratio: the kept share in (0, 1]; 1 returns `x` itself.

    Returns:
        `[B, M, D]`, M as `compressed_layout` has it.

    Raises:
        ValueError: `x` does not match the layout.
    """

    def compress(tokens: Tensor, grid: Grid, compressed: Grid) -> Tensor:
        compressed_tokens: Tensor = mapping(tokens, grid, retention_ratio)
        return compressed_tokens

    return map_parts(compress, x, layout, retention_ratio, mapping.windows)


def map_parts(
    reduce: Callable[[Tensor, Grid, Grid], Tensor],
    x: Tensor,
    layout: PictureLayout,
    retention_ratio: float,
    windows: WindowKind,
) -> Tensor:
    """Reduce each part by itself and put the newline tokens back.

    Args:
        reduce: takes a part's tokens `[B, n, D]`, their grid and the grid to reach, and gives
            `[B, m, D]`.
        x, layout, retention_ratio: as `compress_pictures`.
        windows: whose rule makes m.

    Returns and Raises as `compress_pictures`.
    """
    if retention_ratio == 1.0:
        return x
    source = layout.for_windows(windows)
    compressed = compressed_layout(layout, retention_ratio, windows)
    outputs = [
        reduce(tokens, part.grid, small.grid)
        for (part, tokens, _), small in zip(split_parts(x, source), compressed.parts, strict=True)
    ]
    return _joined(outputs, x, source, compressed)


def compression_weights_of(
    mapping: TokenMapping, x: Tensor, layout: PictureLayout, retention_ratio: float
) -> list[Tensor]:
    """P of every part, `[B, M_part, N_part]` float32. Args and Raises as `compress_pictures`."""
    source = layout.for_windows(mapping.windows)
    return [
        mapping.weights(tokens, part.grid, retention_ratio)
        for part, tokens, _ in split_parts(x, source)
    ]


def apply_weights(
    mapping: TokenMapping,
    weights: list[Tensor],
    x: Tensor,
    layout: PictureLayout,
    retention_ratio: float,
) -> Tensor:
    """`X~ = P X` for the weights of `compression_weights_of`, newlines put back: `[B, M, D]`."""
    source = layout.for_windows(mapping.windows)
    compressed = compressed_layout(layout, retention_ratio, mapping.windows)
    outputs = [
        of_part @ tokens
        for of_part, (_, tokens, _) in zip(weights, split_parts(x, source), strict=True)
    ]
    return _joined(outputs, x, source, compressed)


def split_parts(x: Tensor, layout: PictureLayout) -> Iterator[tuple[Part, Tensor, Tensor | None]]:
    """Each part with its tokens `[B, rows x cols, D]` and its newline token `[B, D]`, if any.

    Raises:
        ValueError: `x` `[B, N, D]` has not as many tokens as the layout.
    """
    if x.shape[1] != layout.num_tokens:
        raise ValueError(f"a picture of {layout.num_tokens} tokens, not {x.shape[1]}")
    sizes = [part.num_tokens for part in layout.parts]
    for part, tokens in zip(layout.parts, torch.split(x, sizes, dim=1), strict=True):
        if not part.newline:
            yield part, tokens, None
            continue
        rows = tokens.reshape(len(x), part.grid.rows, part.grid.cols + 1, -1)
        yield part, rows[:, :, :-1].flatten(1, 2), rows[:, 0, -1]


def _joined(
    outputs: list[Tensor], x: Tensor, source: PictureLayout, compressed: PictureLayout
) -> Tensor:
    """Outputs of all parts in one sequence, a newline token after each compressed row."""
    pieces = []
    for output, small, (_, _, newline) in zip(
        outputs, compressed.parts, split_parts(x, source), strict=True
    ):
        if newline is None:
            pieces.append(output)
            continue
        rows = output.reshape(len(x), small.grid.rows, small.grid.cols, -1)
        ends = newline[:, None, None].expand(-1, small.grid.rows, 1, -1).to(output.dtype)
        pieces.append(torch.cat([rows, ends], dim=2).flatten(1, 2))
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1)
