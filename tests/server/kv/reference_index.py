"""What `SessionIndex` promises, written down as slowly and plainly as possible."""

from dataclasses import dataclass, field


@dataclass
class Claim:
    session: str
    turn: int
    position: int
    protected: bool


@dataclass
class Entry:
    size: int
    pinned: bool = True
    claims: dict[str, Claim] = field(default_factory=dict)


@dataclass
class ReferenceIndex:
    """Blocks, claims on them, and the order in which sessions were used."""

    blocks: dict[bytes, Entry] = field(default_factory=dict)
    used: list[str] = field(default_factory=list)
    last_used: dict[str, float] = field(default_factory=dict)

    def touch(self, session: str, now: float) -> None:
        if session in self.used:
            self.used.remove(session)
        self.used.append(session)
        self.last_used[session] = now

    def evict(self, num_bytes: int, keep: set[bytes]) -> list[bytes] | None:
        """Remove claim after claim, each time the worst of all."""
        free = sum(
            entry.size
            for key, entry in self.blocks.items()
            if key not in keep and not entry.pinned and entry.claims
        )
        if num_bytes > free:
            return None
        freed: list[bytes] = []
        while num_bytes > 0:
            worst = min(
                (
                    (claim.protected, self.used.index(name), claim.turn, -claim.position, key, name)
                    for key, entry in self.blocks.items()
                    if key not in keep
                    for name, claim in entry.claims.items()
                    if not entry.pinned or len(entry.claims) > 1
                ),
            )
            key, name = worst[-2:]
            del self.blocks[key].claims[name]
            if not self.blocks[key].claims:
                num_bytes -= self.blocks.pop(key).size
                freed.append(key)
        return freed

    def bytes_of(self, session: str) -> int:
        return sum(entry.size for entry in self.blocks.values() if session in entry.claims)
