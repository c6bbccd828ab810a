"""Sizes of the kernels' blocks, from shapes alone: the least time by arithmetic, none by trying.

Each kernel has a few fixed configurations. The one is taken that would end first on an H100 by its
reads from the L2 cache, its operations and its number of steps. So nothing is tuned at the first
request, and the same shapes always run the same way. All sizes are powers of two.
"""

import itertools
from dataclasses import dataclass

WIDEST_KEY = 256
"""The largest Dc: queries and keys are held whole."""

MULTIPROCESSORS = 132
MEMORY_BYTES_PER_S = 3.35e12
CACHE_BYTES_PER_S = 5.5e12
"""Of the L2 cache, for all. NVIDIA does not publish it; this is the order that others measured."""
PORT_BYTES_PER_S = 64 * 1.755e9
"""Of the L2 cache, for one multiprocessor."""
TENSOR_OPERATIONS_PER_S = 989e12
FP32_OPERATIONS_PER_S = 67e12

_STEP_S = {"project": 0.2e-6, "compress": 0.4e-6}
"""Waiting of a program in each step over channels or tokens, for memory and for its own results.
An estimate; it only matters where programs are few."""
LAUNCH_S = 2e-6
"""Of starting and ending a launch behind another one."""


@dataclass(frozen=True)
class Load:
    """What all programs of a launch do.

    Attributes:
        programs: their number.
        bytes_each: read by one, mostly from the L2 cache.
        operations_each: of one.
        steps: of one, one after another.
        warps: of one; a multiprocessor holds programs of 8 warps together at a time, for such
            blocks fill its registers (docs/kernels.md has what the compiler gives).
    """

    programs: int
    bytes_each: float
    operations_each: float
    steps: int
    warps: int

    def seconds(self, kind: str, operations_per_s: float = TENSOR_OPERATIONS_PER_S) -> float:
        """The waiting, and the longest of the rest."""
        waiting, *working = self.parts(kind, operations_per_s)
        return waiting + max(working)

    def parts(
        self, kind: str, operations_per_s: float = TENSOR_OPERATIONS_PER_S
    ) -> tuple[float, float, float, float]:
        """Seconds of: waiting by the programs that follow each other on the fullest multiprocessor,
        all reads from the L2 cache, that multiprocessor's own reads, its operations."""
        fullest = cdiv(self.programs, MULTIPROCESSORS)
        return (
            cdiv(fullest, 8 // self.warps) * self.steps * _STEP_S[kind],
            self.programs * self.bytes_each / CACHE_BYTES_PER_S,
            fullest * self.bytes_each / PORT_BYTES_PER_S,
            fullest * self.operations_each * MULTIPROCESSORS / operations_per_s,
        )


@dataclass(frozen=True)
class CompressBlocks:
    """One program of the compression: some outputs, some channels, tokens in steps."""

    outputs: int
    tokens: int
    channels: int
    key_channels: int
    warps: int
    stages: int

    def load(self, pictures: int, n: int, m: int, d: int, itemsize: int) -> Load:
        """Scores are computed again for each block of channels, so narrow blocks cost more."""
        width = self.channels + self.key_channels
        return Load(
            pictures * cdiv(m, self.outputs) * cdiv(d, self.channels),
            n * width * itemsize,
            2 * self.outputs * n * width,
            cdiv(n, self.tokens),
            self.warps,
        )


@dataclass(frozen=True)
class ColumnBlocks:
    """One program of the competing form's column sums: some tokens, outputs in steps."""

    outputs: int
    tokens: int
    key_channels: int


@dataclass(frozen=True)
class PoolBlocks:
    """One program of the pooling: one output, the tokens of its window in steps."""

    tokens: int
    key_channels: int


@dataclass(frozen=True)
class ProjectBlocks:
    """One program of the projection: some tokens, some columns, channels in steps.

    Attributes:
        splits: programs that share the channels of one block; their sums are added afterwards.
    """

    tokens: int
    columns: int
    channels: int
    splits: int
    warps: int
    stages: int

    def channels_each(self, hidden: int) -> int:
        """Channels that one program sums over, a multiple of its step."""
        return cdiv(cdiv(hidden, self.splits), self.channels) * self.channels

    def load(self, rows: int, hidden: int, width: int, itemsize: int) -> Load:
        """Wide blocks read the weight seldom; the tokens once for each block of columns."""
        each = self.channels_each(hidden)
        return Load(
            cdiv(rows, self.tokens) * cdiv(width, self.columns) * cdiv(hidden, each),
            (self.tokens + self.columns) * each * itemsize,
            2 * self.tokens * self.columns * each,
            each // self.channels,
            self.warps,
        )

    def joining_s(self, rows: int, width: int) -> float:
        """Writing the sums of split channels in fp32, and a second launch that reads them."""
        if self.splits == 1:
            return 0.0
        return 2 * self.splits * rows * width * 4 / CACHE_BYTES_PER_S + LAUNCH_S


def compress_blocks(
    pictures: int, num_tokens: int, num_outputs: int, hidden: int, key_dim: int, itemsize: int
) -> CompressBlocks:
    """Blocks of the compression; fp32 products run without tensor cores, exact, in small blocks."""
    rate = FP32_OPERATIONS_PER_S if itemsize > 2 else TENSOR_OPERATIONS_PER_S

    def seconds(blocks: CompressBlocks) -> float:
        load = blocks.load(pictures, num_tokens, num_outputs, hidden, itemsize)
        return load.seconds("compress", rate)

    return min(_compress_candidates(num_outputs, hidden, key_dim, itemsize), key=seconds)


def _compress_candidates(
    num_outputs: int, hidden: int, key_dim: int, itemsize: int
) -> list[CompressBlocks]:
    """Widest first, so that among equals the one with the fewest reads is taken."""
    key_channels = power_of_two(key_dim, 16, WIDEST_KEY)
    if itemsize > 2:
        outputs = power_of_two(num_outputs, 16, 32)
        widths = _widths(hidden, 64)
        return [CompressBlocks(outputs, 16, width, key_channels, 4, 2) for width in widths]
    outputs = power_of_two(num_outputs, 16, 64)
    if key_channels > 128:
        widths = _widths(hidden, 128)
        return [CompressBlocks(outputs, 32, width, key_channels, 4, 2) for width in widths]
    widths = _widths(hidden, 256)
    found = [CompressBlocks(outputs, 64, width, key_channels, 4, 2) for width in widths]
    if num_outputs <= 64:
        return found
    large = [CompressBlocks(128, 64, width, key_channels, 8, 2) for width in widths if width > 64]
    return large + found


def _widths(hidden: int, widest: int) -> list[int]:
    """Blocks of channels to choose from, down to 32."""
    width = power_of_two(hidden, 16, widest)
    return [width >> shift for shift in range(4) if width >> shift >= 32] or [width]


def column_blocks(key_dim: int) -> ColumnBlocks:
    return ColumnBlocks(32, 32, power_of_two(key_dim, 16, WIDEST_KEY))


def pool_blocks(num_tokens: int, num_outputs: int, key_dim: int) -> PoolBlocks:
    """A step takes an average window whole: windows overlap by less than half."""
    key_channels = power_of_two(key_dim, 16, WIDEST_KEY)
    return PoolBlocks(
        power_of_two(2 * cdiv(num_tokens, max(num_outputs, 1)), 4, 8192 // key_channels),
        key_channels,
    )


def project_blocks(rows: int, hidden: int, width: int, itemsize: int) -> ProjectBlocks:
    """Blocks of the projection.

    Args:
        rows: tokens of all pictures.
        hidden, width: sides of the weight.
        itemsize: bytes of one number of the weight.
    """
    rate = FP32_OPERATIONS_PER_S if itemsize > 2 else TENSOR_OPERATIONS_PER_S

    def seconds(blocks: ProjectBlocks) -> float:
        load = blocks.load(rows, hidden, width, itemsize)
        return load.seconds("project", rate) + blocks.joining_s(rows, width)

    splits = [split for split in (1, 2, 4, 8, 16) if split == 1 or hidden >= 256 * split]
    if itemsize > 2:
        shapes = [(32, power_of_two(width, 16, 64), 32, 4, 2)]
    else:
        shapes = [
            (128, power_of_two(width, 16, 256), 64, 8, 3),
            (64, power_of_two(width, 16, 128), 64, 4, 3),
        ]
    candidates = [
        ProjectBlocks(tokens, columns, channels, split, warps, stages)
        for split, (tokens, columns, channels, warps, stages) in itertools.product(splits, shapes)
    ]
    return min(candidates, key=seconds)


def cdiv(number: int, divisor: int) -> int:
    return -(-number // divisor)


def power_of_two(size: int, low: int, high: int) -> int:
    """The smallest power of two that holds `size`, within `low` and `high`."""
    return max(low, min(high, 1 << max(size - 1, 0).bit_length()))
