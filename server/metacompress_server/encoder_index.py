"""Which compressed pictures are kept outside the GPU: least recently used first out, by bytes."""

from collections import OrderedDict
from dataclasses import asdict, dataclass


@dataclass
class EncoderCounts:
    """Counts since the engine started.

    hits: pictures whose embeddings were brought back instead of encoded again.
    misses: pictures that were encoded.
    evictions: pictures that made room for others.
    """

    hits: int = 0
    misses: int = 0
    evictions: int = 0


class EncoderIndex:
    """What the scheduler knows of the embeddings that every worker keeps.

    Args:
        budget_bytes: of one worker.
    """

    def __init__(self, budget_bytes: int) -> None:
        self.counts = EncoderCounts()
        self._budget = budget_bytes
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._bytes = 0

    def __contains__(self, identity: str) -> bool:
        return identity in self._sizes

    def use(self, identity: str) -> None:
        """A kept picture is needed: it was used last. Raises KeyError for another."""
        self._sizes.move_to_end(identity)
        self.counts.hits += 1

    def add(self, identity: str, num_bytes: int) -> list[str]:
        """A picture was encoded. One that is larger than the budget is not kept.

        Returns:
            Pictures that had to go.
        """
        self.counts.misses += 1
        if num_bytes > self._budget:
            return []
        self._bytes += num_bytes - self._sizes.pop(identity, 0)
        self._sizes[identity] = num_bytes
        gone = []
        while self._bytes > self._budget:
            oldest, size = self._sizes.popitem(last=False)
            self._bytes -= size
            gone.append(oldest)
        self.counts.evictions += len(gone)
        return gone

    def report(self) -> dict[str, int]:
        """Counts, and what is kept now: `bytes` of `budget_bytes`, `pictures`."""
        kept = {"bytes": self._bytes, "budget_bytes": self._budget, "pictures": len(self._sizes)}
        return {**asdict(self.counts), **kept}
