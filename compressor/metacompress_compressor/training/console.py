"""What a person sees of a run: notes and progress bars, on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_PROBLEMS_SHOWN = 10


class RunConsole:
    """Notes and progress on standard error; standard output stays free for the result.

    Args:
        quiet: say nothing: one of several processes speaks for all.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet)

    def note(self, text: str) -> None:
        self._console.print(escape(text), highlight=False, soft_wrap=True)

    def problems(self, problems: tuple[str, ...]) -> None:
        """Show unusable lines of the data: the first ones in full, and how many there are."""
        for problem in problems[:_PROBLEMS_SHOWN]:
            self.note(f"unusable: {problem}")
        if problems:
            self.note(f"{len(problems)} unusable dialogues were left out")

    @contextmanager
    def progress(self, title: str) -> Iterator[Callable[[int, int], None]]:
        """A bar; the function given takes units done and units in all."""
        with self._bar() as progress:
            task = progress.add_task(title, total=None, detail="")
            yield lambda done, total: progress.update(task, completed=done, total=total)

    @contextmanager
    def training(self, steps: int, done: int) -> Iterator[Callable[[dict[str, float]], None]]:
        """A bar for the steps; the function given takes each step's record."""
        with self._bar() as progress:
            task = progress.add_task("train", total=steps, completed=done, detail="")

            def on_step(record: dict[str, float]) -> None:
                detail = " ".join(f"{name} {record[name]:.3f}" for name in ("kl", "entropy"))
                progress.update(
                    task, advance=1, detail=f"{detail} column max {record['column']:.2f}"
                )

            yield on_step

    def _bar(self) -> Progress:
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[detail]}"),
            console=self._console,
        )
