"""Sizes of the kernels' blocks, from shapes alone: few reads, and enough programs for a large GPU.

All sizes are powers of two. The numbers of programs decide between a few fixed configurations, so
nothing is tuned at the first request, and the same shapes always run the same way.
"""

from dataclasses import dataclass

BUSY = 128
"""Programs that keep a large GPU busy: an H100 has 132 multiprocessors, an A100 108."""

WIDEST_KEY = 256
"""The largest Dc: queries and keys are held whole."""


@dataclass(frozen=True)
class CompressBlocks:
    """One program of the compression: some outputs, some channels, tokens in steps."""

    outputs: int
    tokens: int
    channels: int
    key_channels: int
    warps: int
    stages: int


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


def compress_blocks(
    pictures: int, num_outputs: int, hidden: int, key_dim: int, itemsize: int
) -> CompressBlocks:
    """Blocks of channels as wide as leave enough programs: each block computes its scores again.

    A picture of its own gets narrow blocks, a batch wide ones. fp32 products run without tensor
    cores, exact, in small blocks.
    """
    key_channels = power_of_two(key_dim, 16, WIDEST_KEY)
    if itemsize > 2:
        outputs, widest = power_of_two(num_outputs, 16, 32), 64
    else:
        outputs, widest = power_of_two(num_outputs, 16, 64), 256 if key_channels <= 128 else 128
    if itemsize <= 2 and num_outputs > 128 and key_channels <= 128:
        large = CompressBlocks(128, 32, power_of_two(hidden, 16, widest), key_channels, 8, 3)
        if _programs(large, pictures, num_outputs, hidden) >= BUSY:
            return large
    channels = power_of_two(hidden, 16, widest)
    while channels > 32:
        blocks = _small_blocks(outputs, channels, key_channels, itemsize)
        if _programs(blocks, pictures, num_outputs, hidden) >= BUSY:
            return blocks
        channels //= 2
    return _small_blocks(outputs, channels, key_channels, itemsize)


def _small_blocks(outputs: int, channels: int, key_channels: int, itemsize: int) -> CompressBlocks:
    if itemsize > 2:
        return CompressBlocks(outputs, 16, channels, key_channels, 4, 2)
    return CompressBlocks(outputs, 32, channels, key_channels, 4, 3 if key_channels <= 128 else 2)


def _programs(blocks: CompressBlocks, pictures: int, num_outputs: int, hidden: int) -> int:
    return pictures * cdiv(num_outputs, blocks.outputs) * cdiv(hidden, blocks.channels)


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
    """Wide blocks read every token once and the weight seldom; few tokens are split by channels.

    A wide block takes as long as four narrow ones side by side, so wide ones win from a quarter of
    the GPU on.

    Args:
        rows: tokens of all pictures.
        hidden, width: sides of the weight.
        itemsize: bytes of one number of the weight.
    """
    if itemsize > 2:
        tokens, columns, channels, warps, stages = 32, power_of_two(width, 16, 64), 32, 4, 2
    elif cdiv(rows, 128) * cdiv(width, 256) >= BUSY // 4:
        return ProjectBlocks(128, power_of_two(width, 16, 256), 64, 1, 8, 3)
    else:
        tokens, columns, channels, warps, stages = 64, power_of_two(width, 16, 128), 64, 4, 3
    programs = cdiv(rows, tokens) * cdiv(width, columns)
    wanted, most = cdiv(BUSY, max(programs, 1)), max(1, hidden // (4 * channels))
    return ProjectBlocks(
        tokens, columns, channels, min(power_of_two(wanted, 1, 64), most), warps, stages
    )


def cdiv(number: int, divisor: int) -> int:
    return -(-number // divisor)


def power_of_two(size: int, low: int, high: int) -> int:
    """The smallest power of two that holds `size`, within `low` and `high`."""
    return max(low, min(high, 1 << max(size - 1, 0).bit_length()))
