"""What the mapping must cost on an H100, and what it costs at best with the blocks it takes.

Arithmetic, no measurement: bytes and operations of the formula over the card's rates; then those of
the programs that are really launched, by the rule that chose their blocks. A kernel never beats the
first figure and hardly the second.
"""

from metacompress_kernels.blocks import (
    MEMORY_BYTES_PER_S,
    TENSOR_OPERATIONS_PER_S,
    compress_blocks,
    project_blocks,
)
from metacompress_kernels.resources import KEY_DIM, SHAPES

ITEM_BYTES = 2  # bf16


def floor(batch: int, n: int, m: int, d: int) -> list[tuple[float, float]]:
    """Bytes and operations of the projection and of the compression."""
    tokens, outputs = batch * n, batch * m
    return [
        (tokens * d * ITEM_BYTES, 4 * tokens * d * KEY_DIM),
        ((tokens + outputs) * d * ITEM_BYTES, 2 * outputs * n * (d + KEY_DIM)),
    ]


def floor_seconds(batch: int, n: int, m: int, d: int) -> float:
    """Two launches at the card's full rates."""
    return sum(
        max(size / MEMORY_BYTES_PER_S, operations / TENSOR_OPERATIONS_PER_S)
        for size, operations in floor(batch, n, m, d)
    )


def built_seconds(batch: int, n: int, m: int, d: int) -> float:
    """The same two launches with their blocks; pooling and column sums are left out."""
    rows, width = batch * n, 2 * KEY_DIM
    project = project_blocks(rows, d, width, ITEM_BYTES)
    compress = compress_blocks(batch, n, m, d, KEY_DIM, ITEM_BYTES)
    (first_bytes, _), (second_bytes, _) = floor(batch, n, m, d)
    projecting = project.load(rows, d, width, ITEM_BYTES).seconds("project")
    compressing = compress.load(batch, n, m, d, ITEM_BYTES).seconds("compress")
    return (
        max(projecting, first_bytes / MEMORY_BYTES_PER_S)
        + project.joining_s(rows, width)
        + max(compressing, second_bytes / MEMORY_BYTES_PER_S)
    )


def table() -> str:
    lines = [
        "| shape | batch | MB | GFLOP | floor µs | at best as built µs | share of the floor |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, sizes in SHAPES.items():
        for batch in (1, 4, 16, 64):
            needed = floor(batch, *sizes)
            least, best = floor_seconds(batch, *sizes), built_seconds(batch, *sizes)
            lines.append(
                f"| {name} | {batch} | {sum(part[0] for part in needed) / 1e6:,.0f} "
                f"| {sum(part[1] for part in needed) / 1e9:,.1f} | {least * 1e6:,.1f} "
                f"| {best * 1e6:,.1f} | {least / best:.0%} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
