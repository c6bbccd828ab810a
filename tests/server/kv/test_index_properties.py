"""`SessionIndex` against a plain model of what it promises, under any sequence of operations."""

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from metacompress_server.kv.index import SessionIndex
from metacompress_server.kv.limits import Limits
from metacompress_server.kv.session import Place, Visit

sys.path.insert(0, str(Path(__file__).parent))

from reference_index import Claim, Entry, ReferenceIndex

SESSIONS = st.sampled_from(["a", "b", "c", "d"])
KEYS = st.integers(0, 11).map(lambda number: number.to_bytes(2, "big"))


class IndexAgainstModel(RuleBasedStateMachine):
    """Named sessions only: they share blocks, which is the hard case."""

    @initialize()
    def start(self) -> None:
        self.now = 0.0
        self.index = SessionIndex(Limits(64, 1.0, ttl_s=50.0), clock=lambda: self.now)
        self.model = ReferenceIndex()
        self.visits: dict[str, Visit] = {}

    @rule(session=SESSIONS, wait=st.floats(0.5, 20.0))
    def begin(self, session: str, wait: float) -> None:
        self.now += wait
        self.visits[session] = self.index.begin(session, named=True)
        if session in self.model.used:
            self.model.touch(session, self.now)

    @rule(session=SESSIONS, keys=st.lists(KEYS, min_size=1), protected=st.booleans())
    def claim(self, session: str, keys: list[bytes], protected: bool) -> None:
        """Add blocks, or use those that are there; all but every fourth are ready at once."""
        if session not in self.visits:
            self.begin(session, 0.5)
        for key in keys:
            self._claim(session, key, protected)
            if key[1] % 4:
                self.unpin(key)

    def _claim(self, session: str, key: bytes, protected: bool) -> None:
        visit = self.visits[session]
        size = 1 + key[1] % 5
        place = Place(position=key[1], protected=protected)
        if key in self.model.blocks:
            self.index.use(visit, key, place)
        else:
            self.index.add(visit, key, size, place)
            self.model.blocks[key] = Entry(size)
        if session not in self.model.used:
            self.model.touch(session, self.index.session(session).last_used)
        claims = self.model.blocks[key].claims
        old = claims.get(session)
        turn = self.index._sessions[session].holds[key].turn  # the model has no turns of its own
        claims[session] = Claim(
            session, turn, key[1], protected or (old is not None and old.protected)
        )

    @rule(key=KEYS)
    def unpin(self, key: bytes) -> None:
        entry = self.model.blocks.get(key)
        if entry is not None and entry.pinned:
            gone = self.index.unpin(key)
            assert gone == (not entry.claims)
            entry.pinned = False
            if gone:
                del self.model.blocks[key]

    @rule(key=KEYS)
    def pin(self, key: bytes) -> None:
        entry = self.model.blocks.get(key)
        if entry is not None and not entry.pinned:
            self.index.pin(key)
            entry.pinned = True

    @rule(num_bytes=st.integers(1, 30), keep=st.frozensets(KEYS, max_size=3))
    def evict(self, num_bytes: int, keep: frozenset[bytes]) -> None:
        pinned = {key for key, entry in self.model.blocks.items() if entry.pinned and entry.claims}
        expected = self.model.evict(num_bytes, set(keep))
        freed = self.index.evict(num_bytes, keep)
        assert freed == expected
        assert not pinned & set(freed or [])
        self._prune()

    @rule(session=SESSIONS)
    def drop(self, session: str) -> None:
        before = self.index.bytes
        alone = {k for k, e in self.model.blocks.items() if set(e.claims) == {session}}
        leaving = sum(self.model.blocks[key].size for key in alone)
        freed, promised = self.index.drop(session)
        assert promised == leaving
        assert set(freed) == {key for key in alone if not self.model.blocks[key].pinned}
        assert before - self.index.bytes == sum(self.model.blocks[key].size for key in freed)
        self._lose(session)
        self.visits.pop(session, None)

    @rule()
    def expire(self) -> None:
        self.index.expire()
        for session in [s for s in self.model.used if self.model.last_used[s] <= self.now - 50.0]:
            self._lose(session)

    @rule(key=KEYS)
    def remove(self, key: bytes) -> None:
        if key in self.model.blocks:
            self.index.remove(key)
            del self.model.blocks[key]
            self._prune()

    def _lose(self, session: str) -> None:
        for key, entry in list(self.model.blocks.items()):
            entry.claims.pop(session, None)
            if not entry.claims and not entry.pinned:
                del self.model.blocks[key]
        self._prune()

    def _prune(self) -> None:
        """A session without a block is forgotten."""
        held = {name for entry in self.model.blocks.values() for name in entry.claims}
        self.model.used = [name for name in self.model.used if name in held]

    @invariant()
    def same_content(self) -> None:
        assert len(self.index) == len(self.model.blocks)
        assert self.index.bytes == sum(entry.size for entry in self.model.blocks.values())
        for key, entry in self.model.blocks.items():
            assert (key in self.index) == bool(entry.claims)
        assert list(self.index.named_groups()) == self.model.used
        for session in self.model.used:
            assert self.index.session(session).bytes == self.model.bytes_of(session)


TestIndexAgainstModel = IndexAgainstModel.TestCase
TestIndexAgainstModel.settings = settings(
    max_examples=100,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.mark.parametrize("size", [0, 1, 5])
def test_nothing_to_evict_is_no_error(size: int) -> None:
    index = SessionIndex(Limits(10, 1.0, ttl_s=1.0))
    assert index.evict(size) == ([] if size == 0 else None)
