"""What the index keeps and what goes first, case by case."""

import pytest

from metacompress_server.kv.index import SessionIndex
from metacompress_server.kv.limits import Limits
from metacompress_server.kv.session import Place, Reason, Visit


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def index(clock: Clock) -> SessionIndex:
    return SessionIndex(Limits(max_bytes=100, session_share=1.0, ttl_s=60.0), clock)


def store(index: SessionIndex, visit: Visit, names: str, *, pictures: str = "") -> None:
    """One block of one byte for each letter, in the order of the prompt, ready to be evicted."""
    for position, name in enumerate(names):
        place = Place(position, name in pictures)
        if name.encode() in index:
            index.use(visit, name.encode(), place)
        else:
            index.add(visit, name.encode(), 1, place)
            index.unpin(name.encode())


def evicted(index: SessionIndex, count: int) -> str:
    freed = index.evict(count)
    assert freed is not None
    return b"".join(freed).decode()


def test_the_end_of_the_prompt_goes_first(index: SessionIndex) -> None:
    store(index, index.begin("one", named=True), "abc")
    assert evicted(index, 3) == "cba"


def test_text_of_every_session_goes_before_any_picture(index: SessionIndex) -> None:
    store(index, index.begin("old", named=True), "Ppq", pictures="P")
    store(index, index.begin("new", named=True), "Rrs", pictures="R")
    assert evicted(index, 6) == "qpsrPR"


def test_a_session_used_again_is_spared(index: SessionIndex) -> None:
    store(index, index.begin("one", named=True), "ab")
    store(index, index.begin("two", named=True), "cd")
    index.begin("one", named=True)
    assert evicted(index, 4) == "dcba"


def test_the_end_of_a_request_counts_as_use(index: SessionIndex) -> None:
    first = index.begin("one", named=True)
    store(index, first, "ab")
    store(index, index.begin("two", named=True), "cd")
    index.finish(first)
    assert evicted(index, 2) == "dc"


def test_a_branch_that_no_turn_took_up_goes_first(index: SessionIndex) -> None:
    store(index, index.begin("one", named=True), "abxy")
    store(index, index.begin("one", named=True), "abcd")
    assert evicted(index, 4) == "yxdc"


def test_a_new_picture_protects_the_text_before_it(index: SessionIndex) -> None:
    store(index, index.begin("one", named=True), "Pab", pictures="P")
    store(index, index.begin("one", named=True), "PabQc", pictures="PabQ")
    store(index, index.begin("two", named=True), "z")
    assert evicted(index, 3) == "czQ"


def test_pinned_blocks_stay_and_are_listed_again_afterwards(index: SessionIndex) -> None:
    store(index, index.begin("one", named=True), "ab")
    index.pin(b"b")
    assert index.evict(2) is None
    assert evicted(index, 1) == "a"
    index.unpin(b"b")
    assert evicted(index, 1) == "b"


def test_kept_blocks_are_skipped_and_come_up_again(index: SessionIndex) -> None:
    store(index, index.begin("one", named=True), "ab")
    assert index.evict(1, frozenset([b"b"])) == [b"a"]
    assert evicted(index, 1) == "b"


def test_sessions_share_a_block_until_the_last_one_loses_it(index: SessionIndex) -> None:
    store(index, index.begin("one", named=True), "ab")
    store(index, index.begin("two", named=True), "ac")
    freed, leaving = index.drop("one")
    assert (freed, leaving) == ([b"b"], 1)
    assert b"a" in index
    assert index.drop("two") == ([b"a", b"c"], 2)
    assert index.bytes == 0


def test_requests_without_a_session_hand_blocks_on(index: SessionIndex) -> None:
    store(index, index.begin("request 1", named=False), "abc")
    store(index, index.begin("request 2", named=False), "abd")
    assert index.session("request 1").blocks == 1
    assert index.session("request 2").blocks == 3
    assert evicted(index, 1) == "c"
    assert index.session("request 1") is None
    assert list(index.named_groups()) == []


def test_deleting_takes_what_the_running_request_stores_later(index: SessionIndex) -> None:
    visit = index.begin("one", named=True)
    index.add(visit, b"a", 1, Place(0, False))
    freed, leaving = index.drop("one")
    assert (freed, leaving) == ([], 1)
    assert b"a" not in index
    assert index.unpin(b"a")
    index.add(visit, b"b", 1, Place(1, False))
    assert b"b" not in index
    assert index.unpin(b"b")
    assert index.bytes == 0
    assert index.session("one") is None


def test_a_deleted_session_can_start_again(index: SessionIndex) -> None:
    store(index, index.begin("one", named=True), "a")
    index.drop("one")
    store(index, index.begin("one", named=True), "b")
    assert index.session("one").blocks == 1


def test_idle_sessions_expire_and_used_ones_do_not(index: SessionIndex, clock: Clock) -> None:
    store(index, index.begin("one", named=True), "ab")
    clock.now += 30
    store(index, index.begin("two", named=True), "c")
    clock.now += 31
    assert sorted(index.expire()) == [b"a", b"b"]
    assert index.session("two").last_used == 1030.0
    assert index.evictions[Reason.TTL] == 2


def test_a_share_ends_with_the_newest_text(index: SessionIndex) -> None:
    index.limits = Limits(10, 0.5, 60.0)
    store(index, index.begin("one", named=True), "abxy")
    visit = index.begin("one", named=True)
    store(index, visit, "ab")
    assert index.trim(visit, 2) == ([b"y"], 2)
    store(index, visit, "cd")
    assert index.trim(visit, 3) == ([b"x"], 1)
    assert index.evictions[Reason.CAPACITY] == 2


def test_reasons_are_counted_from_zero(index: SessionIndex) -> None:
    assert index.evictions == {"ttl": 0, "lru": 0, "capacity": 0, "deleted": 0}
    store(index, index.begin("one", named=True), "abc")
    index.evict(1)
    index.drop("one")
    assert index.evictions == {"ttl": 0, "lru": 1, "capacity": 0, "deleted": 2}


@pytest.mark.parametrize("bad", [(-1, 0.5, 1.0), (1, 0.0, 1.0), (1, 1.5, 1.0), (1, 0.5, 0.0)])
def test_limits_must_make_sense(bad: tuple[int, float, float]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Limits(*bad)


def test_deleting_a_session_without_blocks_ends_what_its_request_brings_later(
    index: SessionIndex,
) -> None:
    visit = index.begin("one", named=True)
    assert index.drop("one") == ([], 0)
    store(index, visit, "a")
    assert index.bytes == 0
    store(index, index.begin("one", named=True), "b")
    assert index.session("one").blocks == 1


def test_two_requests_of_one_session_share_it_though_it_lost_all_between(
    index: SessionIndex,
) -> None:
    first = index.begin("one", named=True)
    store(index, first, "a")
    index.evict(1)
    second = index.begin("one", named=True)
    store(index, second, "b")
    store(index, first, "c")
    assert index.session("one").blocks == 2
