from metacompress_server.engine_calls import added_up


def test_several_engines_answer_as_one() -> None:
    first = {"sessions": {"a": {"host_bytes": 2, "last_used": 5.0}}, "totals": {"stores": 1}}
    second = {
        "sessions": {"a": {"host_bytes": 3, "last_used": 4.0}, "b": {"host_bytes": 1}},
        "totals": {"stores": 2, "evictions": {"ttl": 1}},
    }
    assert added_up([first, second]) == {
        "sessions": {"a": {"host_bytes": 5, "last_used": 5.0}, "b": {"host_bytes": 1}},
        "totals": {"stores": 3, "evictions": {"ttl": 1}},
    }
    assert added_up([first]) == first
    assert added_up([]) == {}
