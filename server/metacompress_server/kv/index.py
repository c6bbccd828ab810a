"""Which blocks a tier holds, for which sessions, and which of them go first.

Every operation is O(log n) amortised for each block it touches, whatever the number of sessions.
Sizes are in bytes, times in seconds since the epoch. Nothing here moves data: what a method returns
as freed, its caller has to free.
"""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Set
from weakref import WeakValueDictionary

from .limits import Limits
from .ranked_queue import RankedQueue
from .session import Block, Hold, Place, Reason, Session, SessionUse, Visit


class SessionIndex:
    """Blocks by session.

    Room is made in this order: text before the prefix that ends with a session's last picture; the
    least recently used session first; in a session, what its latest turn did not use, then the end
    of the prompt. A block of several sessions goes when the last of them loses it.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.time) -> None:
        self.limits = limits
        self.evictions: Counter[Reason] = Counter(dict.fromkeys(Reason, 0))
        self.bytes = 0
        self._clock = clock
        self._sequence = 0
        self._evictable_bytes = 0
        self._blocks: dict[bytes, Block] = {}
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._visited: WeakValueDictionary[str, Session] = WeakValueDictionary()
        self._order: dict[bool, RankedQueue[int, Session]] = {
            False: RankedQueue(),
            True: RankedQueue(),
        }

    def __contains__(self, key: bytes) -> bool:
        """Whether some session holds this block."""
        block = self._blocks.get(key)
        return block is not None and block.owned

    def __len__(self) -> int:
        return len(self._blocks)

    def tracks(self, key: bytes) -> bool:
        """Whether the block takes room, be it only until its transfer ends."""
        return key in self._blocks

    def begin(self, group: str, *, named: bool, now: float | None = None) -> Visit:
        """A request of this session starts; the session becomes the one used last."""
        session = self._visited.get(group)
        if session is None:
            session = self._visited[group] = Session(group, named)
        elif group in self._sessions:
            self._touch(session)
        session.turn += 1
        session.last_used = max(session.last_used, self._clock() if now is None else now)
        return Visit(session, session.turn)

    def finish(self, visit: Visit) -> None:
        """The request ends, which counts as use as well."""
        session = visit.session
        if session.group in self._sessions and not session.deleted:
            self._touch(session)
            session.last_used = max(session.last_used, self._clock())

    def add(self, visit: Visit, key: bytes, size: int, place: Place) -> None:
        """A new block, pinned until `unpin`.

        Raises:
            ValueError: it is there already.
        """
        if key in self._blocks:
            raise ValueError(f"block {key.hex()} twice")
        self._blocks[key] = Block(size, pins=1)
        self.bytes += size
        self.use(visit, key, place)

    def use(self, visit: Visit, key: bytes, place: Place) -> None:
        """The visit uses a block that is there: from now on its session holds it too."""
        if visit.session.deleted:
            return
        session, block = visit.session, self._blocks[key]
        if session.group not in self._sessions:
            self._touch(session)
        hold = session.holds.get(key)
        if hold is None:
            self._attach(session, key, block)
        else:
            session.queue(hold.place.protected).discard(key)
            place = Place(place.position, place.protected or hold.place.protected)
        turn = max(visit.turn, hold.turn) if hold else visit.turn
        session.holds[key] = Hold(turn, place)
        if block.aside is not session:
            self._enlist(session, key)

    def pin(self, key: bytes) -> None:
        """A transfer needs the block: it stays until `unpin`."""
        block = self._blocks[key]
        if not block.pins:
            self._evictable_bytes -= block.size
        block.pins += 1

    def unpin(self, key: bytes) -> bool:
        """A transfer is done. Returns True where no session holds the block any more: free it."""
        block = self._blocks[key]
        block.pins -= 1
        if block.pins:
            return False
        self._evictable_bytes += block.size
        if not block.owned:
            self._forget(key)
            return True
        if block.aside is not None:
            aside, block.aside = block.aside, None
            self._enlist(aside, key)
        return False

    def remove(self, key: bytes) -> None:
        """The block is lost, pinned or not: its transfer failed, or it could not be read."""
        block = self._blocks[key]
        for session in [*block.owners, *([block.stray] if block.stray else [])]:
            self._let_go(session, key, block)
        self._forget(key)

    def evict(self, num_bytes: int, keep: Set[bytes] = frozenset()) -> list[bytes] | None:
        """Make room in the tier.

        Args:
            num_bytes: at least so many are freed.
            keep: blocks that must stay.

        Returns:
            What was freed, in order; None, with nothing changed, where there is not enough.
        """
        spared = sum(
            self._blocks[key].size
            for key in keep
            if key in self._blocks and not self._blocks[key].pins
        )
        if num_bytes > self._evictable_bytes - spared:
            return None
        freed: list[bytes] = []
        skipped: list[tuple[Session, bytes]] = []
        missing = num_bytes
        for session, key in self._victims():
            if missing <= 0:
                break
            block = self._blocks[key]
            if key in keep:
                session.queue(session.holds[key].place.protected).discard(key)
                skipped.append((session, key))
            elif self._evict_from(session, key, Reason.LRU):
                freed.append(key)
                missing -= block.size
        for session, key in skipped:
            self._enlist(session, key)
        return freed

    def trim(self, visit: Visit, num_bytes: int) -> tuple[list[bytes], int]:
        """Make room within a session's share for a visit that brings `num_bytes` of new blocks.

        Returns:
            What was freed of the session's earlier turns, and how many bytes it may still add.
        """
        session = visit.session
        freed: list[bytes] = []
        for queue in (session.text, session.pictures):
            while session.held_bytes + num_bytes > self.limits.session_bytes:
                key = queue.first()
                if key is None or session.holds[key].turn >= visit.turn:
                    break
                if self._evict_from(session, key, Reason.CAPACITY):
                    freed.append(key)
        return freed, max(0, self.limits.session_bytes - session.held_bytes)

    def refuse(self, num_blocks: int) -> None:
        """Count blocks that were not taken because a budget was full."""
        self.evictions[Reason.CAPACITY] += num_blocks

    def expire(self) -> list[bytes]:
        """End the sessions that were not used for the time to live. Returns what was freed."""
        freed: list[bytes] = []
        deadline = self._clock() - self.limits.ttl_s
        while self._sessions:
            session = next(iter(self._sessions.values()))
            if session.last_used > deadline:
                break
            freed += self._end(session, Reason.TTL)
        return freed

    def drop(self, group: str) -> tuple[list[bytes], int]:
        """Delete a session, and what its running requests still bring.

        Blocks that others share stay; pinned ones go when they are unpinned.

        Returns:
            What was freed at once, and the bytes that leave the tier because of it.
        """
        session = self._visited.pop(group, None)
        if session is None:
            return [], 0
        session.deleted = True
        leaving = sum(
            self._blocks[key].size for key in session.holds if not self._blocks[key].shared
        )
        return self._end(session, Reason.DELETED), leaving

    def clear(self) -> None:
        """Forget everything. The caller frees all."""
        for session in list(self._sessions.values()):
            self._end(session, None)
        self._blocks.clear()
        self.bytes = self._evictable_bytes = 0

    def session(self, group: str) -> SessionUse | None:
        """What a session holds; None where it holds nothing."""
        session = self._sessions.get(group)
        if session is None:
            return None
        return SessionUse(session.held_bytes, len(session.holds), session.last_used)

    def named_groups(self) -> Iterator[str]:
        """The sessions that clients named and that hold something."""
        return (group for group, session in self._sessions.items() if session.named)

    def _victims(self) -> Iterator[tuple[Session, bytes]]:
        """The next block to go, again and again; the consumer takes it out of its queue."""
        for protected in (False, True):
            order = self._order[protected]
            while (session := order.first()) is not None:
                key = session.queue(protected).first()
                if key is None:
                    order.discard(session)
                else:
                    yield session, key

    def _evict_from(self, session: Session, key: bytes, reason: Reason) -> bool:
        """Take a block from a session. Returns whether that frees it; a pinned one is put aside."""
        block = self._blocks[key]
        if block.pins and not block.shared:
            session.queue(session.holds[key].place.protected).discard(key)
            block.aside = session
            return False
        self.evictions[reason] += 1
        return self._detach(session, key)

    def _end(self, session: Session, reason: Reason | None) -> list[bytes]:
        keys = list(session.holds)
        if reason is not None:
            self.evictions[reason] += len(keys)
        freed = [key for key in keys if self._detach(session, key)]
        self._retire(session)
        return freed

    def _retire(self, session: Session) -> None:
        self._sessions.pop(session.group, None)
        for order in self._order.values():
            order.discard(session)

    def _touch(self, session: Session) -> None:
        """Make it the last in every order, those of age and of eviction alike."""
        self._sequence += 1
        session.sequence = self._sequence
        latest = next(reversed(self._sessions.values()), session)
        session.last_used = max(session.last_used, latest.last_used)
        self._sessions[session.group] = session
        self._sessions.move_to_end(session.group)
        for protected, order in self._order.items():
            if session.queue(protected):
                order.push(session, session.sequence)

    def _attach(self, session: Session, key: bytes, block: Block) -> None:
        if block.aside is not None:
            aside, block.aside = block.aside, None
            self._enlist(aside, key)
        if session.named:
            block.owners.add(session)
        else:
            if block.stray is not None:
                self._let_go(block.stray, key, block)
            block.stray = session
        session.held_bytes += block.size

    def _detach(self, session: Session, key: bytes) -> bool:
        """Returns whether the block is gone: without an owner and without a transfer."""
        block = self._blocks[key]
        self._let_go(session, key, block)
        if block.owned or block.pins:
            return False
        self._forget(key)
        return True

    def _let_go(self, session: Session, key: bytes, block: Block) -> None:
        hold = session.holds.pop(key)
        session.queue(hold.place.protected).discard(key)
        session.held_bytes -= block.size
        block.owners.discard(session)
        if block.stray is session:
            block.stray = None
        if block.aside is session:
            block.aside = None
        if not session.holds:
            self._retire(session)

    def _forget(self, key: bytes) -> None:
        block = self._blocks.pop(key)
        self.bytes -= block.size
        if not block.pins:
            self._evictable_bytes -= block.size

    def _enlist(self, session: Session, key: bytes) -> None:
        hold = session.holds[key]
        queue = session.queue(hold.place.protected)
        queue.push(key, hold.rank)
        if session not in self._order[hold.place.protected]:
            self._order[hold.place.protected].push(session, session.sequence)
