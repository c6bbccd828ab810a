import pytest

from metacompress_server.encoder_index import EncoderIndex


def test_the_least_recently_used_makes_room() -> None:
    index = EncoderIndex(30)
    assert [index.add(name, 10) for name in "abc"] == [[], [], []]
    index.use("a")
    assert index.add("d", 15) == ["b", "c"]
    assert [name in index for name in "abcd"] == [True, False, False, True]


def test_what_is_larger_than_the_budget_is_not_kept_and_displaces_nothing() -> None:
    index = EncoderIndex(30)
    index.add("a", 30)
    assert index.add("b", 31) == []
    assert "b" not in index
    assert "a" in index


def test_a_picture_that_is_encoded_again_is_counted_once_in_bytes() -> None:
    index = EncoderIndex(30)
    index.add("a", 10)
    index.add("a", 12)
    assert index.report()["bytes"] == 12


def test_the_report_counts() -> None:
    index = EncoderIndex(20)
    for name in "abc":
        index.add(name, 10)
    index.use("c")
    assert index.report() == {
        "hits": 1,
        "misses": 3,
        "evictions": 1,
        "bytes": 20,
        "budget_bytes": 20,
        "pictures": 2,
    }


def test_only_what_is_kept_can_be_used() -> None:
    with pytest.raises(KeyError):
        EncoderIndex(10).use("a")


def test_bytes_never_exceed_the_budget() -> None:
    index = EncoderIndex(1000)
    for number in range(2000):
        index.add(str(number % 300), 1 + number * 7919 % 400)
        assert 0 <= index.report()["bytes"] <= 1000
