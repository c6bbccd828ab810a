import pytest

from metacompress_server.errors import RequestError
from metacompress_server.sessions.ids import new_session_id, scoped_session_id, session_id_of
from metacompress_server.tenants import Tenant


def test_any_of_the_names_will_do() -> None:
    assert session_id_of({}) is None
    assert session_id_of({"X-Session-ID": None, "session_id": "", "prompt_cache_key": None}) is None
    assert session_id_of({"X-Session-ID": None, "prompt_cache_key": "a b"}) == "a b"
    assert session_id_of({"X-Session-ID": "s", "session_id": "s"}) == "s"


def test_two_names_must_agree() -> None:
    with pytest.raises(RequestError, match="X-Session-ID and prompt_cache_key") as refused:
        session_id_of({"X-Session-ID": "s", "session_id": None, "prompt_cache_key": "t"})
    assert (refused.value.status, refused.value.code) == (400, "conflicting_session_ids")


@pytest.mark.parametrize("name", [" s", "s ", "a\nb", "a\r\nSet-Cookie: x", "é", "x" * 257, "\0"])
def test_what_no_header_can_carry_is_refused(name: str) -> None:
    with pytest.raises(RequestError) as refused:
        session_id_of({"session_id": name})
    assert (refused.value.param, refused.value.code) == ("session_id", "invalid_session_id")


def test_the_longest_and_the_shortest_names_are_fine() -> None:
    assert session_id_of({"session_id": "x" * 256}) == "x" * 256
    assert session_id_of({"session_id": "~"}) == "~"
    assert session_id_of({"session_id": new_session_id()})


def test_a_scoped_id_belongs_to_one_tenant() -> None:
    mine, yours = Tenant("a"), Tenant("b")
    assert scoped_session_id(mine, "s") == scoped_session_id(Tenant("a"), "s")
    assert len({scoped_session_id(t, s) for t in (mine, yours) for s in ("s", "t")}) == 4
    assert "s" * 3 not in scoped_session_id(mine, "sss")
