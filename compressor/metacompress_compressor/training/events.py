"""Loss curves as TensorBoard's event files."""

from pathlib import Path

from tensorboardX import SummaryWriter


class EventWriter:
    """Writes the record of every step under its name, `train/kl` and so on.

    Args:
        folder: made if missing; each sitting of a run adds a file of its own.
        steps_done: by earlier sittings. What they wrote of later steps, before they were cut off,
            is marked as void.
    """

    def __init__(self, folder: Path, steps_done: int) -> None:
        # Files are named by the second; two sittings within one would write into the same file.
        self._writer = SummaryWriter(
            str(folder), purge_step=steps_done + 1, filename_suffix=f".{steps_done:08d}"
        )

    def write(self, step: int, record: dict[str, float]) -> None:
        """Add the record of step 1, 2, ..."""
        for name, value in record.items():
            self._writer.add_scalar(f"train/{name}", value, step)

    def close(self) -> None:
        self._writer.close()
