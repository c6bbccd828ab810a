"""The engine's side of the compressor's life: verified at the start, replaced while it runs."""

from collections.abc import Callable
from typing import Any

from .worker import COMPRESSORS as HELD_BY_WORKER
from .worker import LOAD

COMPRESSORS = "metacompress_compressors"
"""Name to give to `collective_rpc`; answer: digests that every worker holds, the newest last."""

RELOAD = "metacompress_reload_compressor"
"""Arguments: an artifact folder and its digest; answer: what went wrong, "" where all is well."""

AskWorkers = Callable[..., list[Any]]
"""`collective_rpc` of the workers: a method's name, its arguments; one answer per worker."""


class CompressorMismatch(RuntimeError):
    """Workers that hold another compressor. The message is one line."""


class CompressorKeeper:
    """Sees to it that all workers of one engine hold the same mappings."""

    def __init__(self, ask_workers: AskWorkers) -> None:
        self._ask_workers = ask_workers

    def verify(self, folder: str, digest: str) -> None:
        """Every worker loaded the artifact that stands in the folder now.

        Raises:
            CompressorMismatch: naming worker and digests.
        """
        for worker, digests in enumerate(self._ask_workers(HELD_BY_WORKER)):
            if digests != [digest]:
                raise CompressorMismatch(
                    f"worker {worker} holds compressor {_short(digests)}, but {folder} is "
                    f"{digest[:12]} here: every machine needs the same artifact"
                )

    def digests(self) -> list[str]:
        """What every worker holds, the newest last."""
        first, *others = self._ask_workers(HELD_BY_WORKER)
        for worker, digests in enumerate(others, start=1):
            if digests != first:
                raise CompressorMismatch(
                    f"worker {worker} holds compressors {_short(digests)}, worker 0 {_short(first)}"
                )
        return list(first)

    def reload(self, folder: str, digest: str) -> str:
        """Have every worker load one more artifact.

        Pictures choose theirs by its digest, so nothing changes until the HTTP process lays
        pictures out for the new one.

        Returns:
            What went wrong, in one line; nothing where every worker holds it.
        """
        complaints = self._ask_workers(LOAD, folder, digest)
        return "; ".join(
            f"worker {worker}: {complaint}"
            for worker, complaint in enumerate(complaints)
            if complaint
        )


def _short(digests: list[str]) -> str:
    return ", ".join(digest[:12] for digest in digests) or "none"
