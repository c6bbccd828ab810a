"""A profile's shares are of busy samples, and a function counts once in a stack."""

import pytest

from benchmarks.hot_spots import processes, shares

FOLDED = [
    "run (a.py:1);work (metacompress_server/b.py:2);work (metacompress_server/b.py:9) 3",
    "run (a.py:1);other (c.py:4) 1",
    "run (a.py:1);_worker (concurrent/futures/thread.py:81) 96",
]


def test_waiting_threads_do_not_count_and_recursion_counts_once():
    assert shares(FOLDED) == {
        "run (a.py": 1.0,
        "work (metacompress_server/b.py": 0.75,
        "other (c.py": 0.25,
    }


def test_no_server_is_said_so():
    with pytest.raises(ProcessLookupError, match="no server"):
        processes("http://127.0.0.1:1")
