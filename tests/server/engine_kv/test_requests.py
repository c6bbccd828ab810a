"""Which session a request belongs to, and which of its blocks are protected."""

from types import SimpleNamespace

import pytest
from vllm.v1.kv_offload.base import ReqContext, make_offload_key

from metacompress_server.engine.kv.connector import _images_end
from metacompress_server.engine.kv.requests import SESSION, RequestVisits
from metacompress_server.kv.index import SessionIndex
from metacompress_server.kv.limits import Limits
from metacompress_server.kv.session import Place

KEY = make_offload_key(b"k" * 32, 0)


@pytest.fixture
def index() -> SessionIndex:
    return SessionIndex(Limits(100, 1.0, 10.0))


def begin(index: SessionIndex, context: ReqContext, images_end: int = 0) -> RequestVisits:
    return RequestVisits.begin(context, index, None, images_end, tokens_per_block=32)


@pytest.mark.parametrize("params", [None, {}, {SESSION: None}, {SESSION: 7}])
def test_a_request_without_a_session_is_a_group_of_its_own(
    index: SessionIndex, params: dict[str, object] | None
) -> None:
    visits = begin(index, ReqContext("r", params))
    assert (visits.host.session.group, visits.host.session.named) == ("request r", False)
    assert visits.disk is None


def test_no_request_id_can_stand_for_a_session(index: SessionIndex) -> None:
    named = begin(index, ReqContext("r", {SESSION: "x"}))
    stray = begin(index, ReqContext("session x"))
    assert named.host.session.group != stray.host.session.group


@pytest.mark.parametrize(("end", "protected"), [(32, True), (64, True), (96, False)])
def test_blocks_up_to_the_last_picture_are_protected(
    index: SessionIndex, end: int, protected: bool
) -> None:
    context = ReqContext("r")
    context.set_offload_key_position(KEY, end)
    visits = begin(index, context, images_end=64)
    assert visits.place(KEY, context) == Place(end, protected)


def test_a_request_that_was_never_announced_is_an_error() -> None:
    with pytest.raises(LookupError, match="never announced"):
        RequestVisits.of(ReqContext("r"))


def test_the_end_of_the_last_picture_is_found_in_any_order() -> None:
    places = [SimpleNamespace(offset=50, length=6), SimpleNamespace(offset=5, length=25)]
    features = [SimpleNamespace(mm_position=place) for place in places]
    assert _images_end(SimpleNamespace(mm_features=features)) == 56
    assert _images_end(SimpleNamespace(mm_features=[])) == 0
