"""What the mapping must cost on an H100, and what it costs at best with the blocks it takes.

    python -m benchmarks.kernel_floor

Arithmetic, no measurement: bytes and operations of the formula over the card's rates; then those of
the programs that are really launched, by the rule that chose their blocks; then the same for
another order of the formula, to see whether it would pay. A kernel never beats the floor and hardly
the second figure.
"""

from metacompress_kernels.blocks import (
    CACHE_BYTES_PER_S,
    LAUNCH_S,
    MEMORY_BYTES_PER_S,
    TENSOR_OPERATIONS_PER_S,
    compress_blocks,
    project_blocks,
)
from metacompress_kernels.resources import KEY_DIM, SHAPES

ITEM_BYTES = 2  # bf16
CACHE_BYTES = 25e6
"""Of the L2 cache that a second reading can count on: half of it, for each half serves its side."""
BATCHES = (1, 4, 16, 64)

Sizes = tuple[int, int, int]
"""n, m, d."""


def floor(batch: int, sizes: Sizes, key_dim: int = KEY_DIM) -> list[tuple[float, float]]:
    """Bytes and operations of the projection and of the compression."""
    n, m, d = sizes
    tokens, outputs = batch * n, batch * m
    return [
        (tokens * d * ITEM_BYTES, 4 * tokens * d * key_dim),
        ((tokens + outputs) * d * ITEM_BYTES, 2 * outputs * n * (d + key_dim)),
    ]


def floor_seconds(batch: int, sizes: Sizes) -> float:
    """Two launches at the card's full rates."""
    return sum(
        max(size / MEMORY_BYTES_PER_S, operations / TENSOR_OPERATIONS_PER_S)
        for size, operations in floor(batch, sizes)
    )


def built_seconds(batch: int, sizes: Sizes, key_dim: int = KEY_DIM) -> float:
    """Projection, pooling and compression as they are launched."""
    rows = batch * sizes[0]
    return _projecting(rows, sizes, 2 * key_dim) + LAUNCH_S + _compressing(batch, sizes, key_dim)


def pooled_first_seconds(batch: int, sizes: Sizes, *, normalised: bool) -> float:
    """If tokens were pooled before the query projection: keys of n tokens, queries of m.

    A token can be normalised only when all its channels have been read, so pooling normalised
    tokens reads X once more, from the L2 cache where it fits. Without normalisation the projection
    of the keys could pool in passing, taken here to cost nothing.
    """
    n, m, d = sizes
    x_bytes, pooled_bytes = (batch * rows * d * ITEM_BYTES for rows in (n, m))
    rate = CACHE_BYTES_PER_S if x_bytes < CACHE_BYTES else MEMORY_BYTES_PER_S
    pooling = LAUNCH_S + x_bytes / rate if normalised else 0.0
    return (
        _projecting(batch * n, sizes, KEY_DIM)
        + pooling
        + 2 * pooled_bytes / CACHE_BYTES_PER_S
        + _projecting(batch * m, sizes, KEY_DIM)
        + _compressing(batch, sizes, KEY_DIM)
    )


def parts_table() -> str:
    """Markdown: what each of the two large launches would take by each of its limits alone."""
    lines = [
        "| shape, batch 16 | launch | memory µs | L2 cache µs | tensor cores µs | waiting µs |",
        "|---|---|---|---|---|---|",
    ]
    for name, sizes in SHAPES.items():
        n, _, d = sizes
        rows, width = 16 * n, 2 * KEY_DIM
        project = project_blocks(rows, d, width, ITEM_BYTES).load(rows, d, width, ITEM_BYTES)
        compress = compress_blocks(16, *sizes, KEY_DIM, ITEM_BYTES).load(16, *sizes, ITEM_BYTES)
        launches = (("project", project), ("compress", compress))
        for (launch, load), (moved, _) in zip(launches, floor(16, sizes), strict=True):
            waiting, cache, _, operations = load.parts(launch)
            seconds = moved / MEMORY_BYTES_PER_S, cache, operations, waiting
            cells = " | ".join(f"{value * 1e6:,.1f}" for value in seconds)
            lines.append(f"| {name} | {launch} | {cells} |")
    return "\n".join(lines)


def _projecting(rows: int, sizes: Sizes, width: int) -> float:
    _, _, d = sizes
    blocks = project_blocks(rows, d, width, ITEM_BYTES)
    working = blocks.load(rows, d, width, ITEM_BYTES).seconds("project")
    reading = rows * d * ITEM_BYTES / MEMORY_BYTES_PER_S
    return LAUNCH_S + max(working, reading) + blocks.joining_s(rows, width)


def _compressing(batch: int, sizes: Sizes, key_dim: int) -> float:
    blocks = compress_blocks(batch, *sizes, key_dim, ITEM_BYTES)
    working = blocks.load(batch, *sizes, ITEM_BYTES).seconds("compress")
    _, (moved, _) = floor(batch, sizes, key_dim)
    return LAUNCH_S + max(working, moved / MEMORY_BYTES_PER_S)


def table() -> str:
    """Markdown: floor and blocks of each shape and batch."""
    lines = [
        "| shape | batch | MB | GFLOP | floor µs | at best as built µs | share of the floor "
        "| of the memory's rate |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, sizes in SHAPES.items():
        for batch in BATCHES:
            moved, operations = (sum(part) for part in zip(*floor(batch, sizes), strict=True))
            least, best = floor_seconds(batch, sizes), built_seconds(batch, sizes)
            lines.append(
                f"| {name} | {batch} | {moved / 1e6:,.0f} | {operations / 1e9:,.1f} "
                f"| {least * 1e6:,.1f} | {best * 1e6:,.1f} | {least / best:.0%} "
                f"| {moved / best / MEMORY_BYTES_PER_S:.0%} |"
            )
    return "\n".join(lines)


def orders_table() -> str:
    """Markdown: the formula in another order, beside what is built."""
    lines = [
        "| shape | batch | as built µs | pooled first µs | pooled first, no normalisation µs |",
        "|---|---|---|---|---|",
    ]
    for name, sizes in SHAPES.items():
        for batch in BATCHES:
            seconds = (
                built_seconds(batch, sizes),
                pooled_first_seconds(batch, sizes, normalised=True),
                pooled_first_seconds(batch, sizes, normalised=False),
            )
            cells = " | ".join(f"{value * 1e6:,.1f}" for value in seconds)
            lines.append(f"| {name} | {batch} | {cells} |")
    return "\n".join(lines)


def key_dim_table() -> str:
    """Markdown: what the width of queries and keys costs, at batch 16."""
    widths = (32, 64, 128, 256)
    lines = [
        f"| shape, batch 16 | {' | '.join(f'Dc = {width}' for width in widths)} |",
        f"|---|{'---|' * len(widths)}",
    ]
    for name, sizes in SHAPES.items():
        moved = sum(part for part, _ in floor(16, sizes))
        shares = [moved / built_seconds(16, sizes, width) / MEMORY_BYTES_PER_S for width in widths]
        lines.append(f"| {name} | {' | '.join(f'{share:.0%}' for share in shares)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(), parts_table(), orders_table(), key_dim_table(), sep="\n\n")
