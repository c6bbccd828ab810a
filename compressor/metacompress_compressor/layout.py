"""How a picture's visual tokens are arranged: one grid, or several with newline tokens.

Whole numbers only, like `windows`: a server lays out placeholders from the picture's size alone.
"""

from dataclasses import dataclass

from .windows import Grid, WindowKind, compressed_grid, window_positions


@dataclass(frozen=True)
class Part:
    """One grid of a picture's tokens, row by row; `newline`: each row ends with a newline token."""

    grid: Grid
    newline: bool = False

    @property
    def num_tokens(self) -> int:
        return self.grid.rows * (self.grid.cols + self.newline)


@dataclass(frozen=True)
class PictureLayout:
    """All tokens of a picture, part after part. LLaVA-1.5 has one part, LLaVA-NeXT two."""

    parts: tuple[Part, ...]

    @classmethod
    def of_grid(cls, grid: Grid) -> "PictureLayout":
        return cls((Part(grid),))

    @property
    def num_tokens(self) -> int:
        return sum(part.num_tokens for part in self.parts)

    @property
    def num_newlines(self) -> int:
        return sum(part.grid.rows for part in self.parts if part.newline)

    def for_windows(self, windows: WindowKind) -> "PictureLayout":
        """The arrangement that windows are cut from.

        2-D windows: the parts. 1-D windows of a picture in several parts: the whole sequence as one
        row, its newline tokens among the others, as the paper seems to have it.
        """
        if windows == "2d" or not self._has_structure:
            return self
        return PictureLayout.of_grid(Grid(1, self.num_tokens))

    @property
    def _has_structure(self) -> bool:
        return len(self.parts) > 1 or self.num_newlines > 0


def compressed_layout(
    layout: PictureLayout, retention_ratio: float, windows: WindowKind
) -> PictureLayout:
    """What a picture is compressed to: each part's grid by the budget, a newline after each row.

    Newline tokens all hold the same vector, so a compressed part gets one for each of its own rows
    and nothing is lost. m is then the sum of the compressed grids plus those newlines: with 2-D
    windows it may pass `retention_ratio * n` by at most the number of compressed rows.

    Args:
        layout: of the picture, from its size alone.
        retention_ratio: the kept share in (0, 1]; 1 gives `layout` itself.
        windows: kind of window.

    Raises:
        ValueError: `retention_ratio` outside (0, 1].
    """
    if retention_ratio == 1.0:
        return layout
    source = layout.for_windows(windows)
    return PictureLayout(
        tuple(
            Part(compressed_grid(part.grid, retention_ratio, windows), part.newline)
            for part in source.parts
        )
    )


def layout_positions(
    layout: PictureLayout, compressed: PictureLayout, windows: WindowKind
) -> list[int]:
    """Where each output stands in the picture's own numbering 0..n-1, strictly increasing.

    An output stands at its window's centre; a newline where the newline of its row's centre stood.

    Args:
        layout: of the picture.
        compressed: what `compressed_layout` made of it.
        windows: kind of window.
    """
    if compressed == layout:
        return list(range(layout.num_tokens))
    positions: list[int] = []
    start = 0
    for part, small in zip(layout.for_windows(windows).parts, compressed.parts, strict=True):
        positions.extend(start + place for place in _part_positions(part, small.grid, windows))
        start += part.num_tokens
    return positions


def _part_positions(part: Part, small: Grid, windows: WindowKind) -> list[int]:
    centres = window_positions(part.grid, small, windows)
    if not part.newline:
        return centres
    cols = part.grid.cols
    places: list[int] = []
    for first in range(0, len(centres), small.cols):
        row = centres[first] // cols
        places.extend(centre + row for centre in centres[first : first + small.cols])
        places.append(row * (cols + 1) + cols)
    return places
