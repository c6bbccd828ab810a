from metacompress_server.pictures.ledger import PictureLedger, PictureTotals, merge_reports

ONE = [(1, 6)]
THREE = [(1, 6), (9, 6), (20, 6)]


def test_a_picture_runs_through_the_tower_once_and_is_reused_later() -> None:
    ledger = PictureLedger(64)
    ledger.admit("a", "ticket-a", ONE)
    ledger.encode({"a": [0]})
    ledger.finish(["a"])
    ledger.admit("b", "ticket-b", ONE)
    ledger.encode({})
    assert ledger.report("ticket-a")["encoded"] == 1
    assert ledger.report("ticket-b")["encoded"] == 0
    ledger.finish(["b"])
    assert ledger.totals == PictureTotals(pictures=2, kept_tokens=12, tower_runs=1, reused=1)


def test_some_pictures_of_a_request_may_be_new() -> None:
    ledger = PictureLedger(64)
    ledger.admit("a", "t", THREE)
    ledger.encode({"a": [1]})
    ledger.encode({"a": [2]})
    assert ledger.report("t")["encoded"] == 2
    ledger.finish(["a"])
    assert ledger.totals.reused == 1


def test_a_preempted_request_that_encodes_again_counts_runs_but_not_pictures() -> None:
    ledger = PictureLedger(64)
    for _ in range(2):
        ledger.admit("a", "t", ONE)
        ledger.encode({"a": [0]})
    ledger.finish(["a"])
    assert ledger.report("t")["encoded"] == 1
    assert ledger.totals == PictureTotals(pictures=1, kept_tokens=6, tower_runs=2, reused=0)


def test_sequences_of_one_request_share_a_ticket() -> None:
    ledger = PictureLedger(64)
    ledger.admit("0_a", "t", ONE)
    ledger.admit("1_a", "t", ONE)
    ledger.encode({"0_a": [0]})
    assert ledger.report("t")["encoded"] == 1
    ledger.finish(["0_a", "1_a"])
    assert ledger.report("t")["encoded"] == 1
    assert ledger.totals.reused == 1


def test_requests_without_pictures_leave_no_trace() -> None:
    ledger = PictureLedger(64)
    ledger.admit("a", "t", [])
    ledger.finish(["a"])
    assert ledger.report("t")["encoded"] is None
    assert ledger.totals == PictureTotals()


def test_runs_without_a_known_request_still_count() -> None:
    ledger = PictureLedger(64)
    ledger.encode({"warm-up": [0, 1]})
    assert ledger.totals.tower_runs == 2


def test_memory_is_bounded_and_a_forgotten_ticket_is_unknown() -> None:
    ledger = PictureLedger(64)
    for index in range(5000):
        ledger.admit(str(index), f"t{index}", [(0, 1)])
        ledger.finish([str(index)])
    assert ledger.report("t0")["encoded"] is None
    assert ledger.report("t4999")["encoded"] == 0


def test_reports_of_several_engines_add_up() -> None:
    busy, other = PictureLedger(64), PictureLedger(64)
    busy.admit("a", "t", [(1, 6), (9, 6)])
    busy.encode({"a": [0]})
    other.admit("b", "u", ONE)
    totals, encoded = merge_reports([other.report("t"), busy.report("t")])
    assert totals == PictureTotals(pictures=3, kept_tokens=18, tower_runs=1, reused=0)
    assert encoded == 1
    assert merge_reports([busy.report("x")])[1] is None


def test_pictures_in_the_prefix_are_those_that_end_there() -> None:
    ledger = PictureLedger(64)
    ledger.admit("a", "t", THREE, prefix_tokens=15)
    assert (ledger.totals.prefix_tokens, ledger.totals.prefix_pictures) == (15, 2)
    ledger.admit("b", "u", THREE, prefix_tokens=14)
    assert ledger.totals.prefix_pictures == 3
    ledger.admit("c", None, [], prefix_tokens=32)
    assert (ledger.totals.prefix_tokens, ledger.totals.pictures) == (61, 6)


def test_pictures_that_keep_all_their_tokens_are_counted_apart() -> None:
    ledger = PictureLedger(64)
    ledger.admit("a", "t", [(1, 6), (9, 64), (80, 64)])
    ledger.encode({"a": [0, 2]})
    assert (ledger.totals.tower_runs, ledger.totals.whole_runs) == (2, 1)
    uncompressed = PictureLedger(None)
    uncompressed.admit("a", "t", [(1, 6)])
    uncompressed.encode({"a": [0]})
    assert uncompressed.totals.whole_runs == 1
