import pytest

from metacompress_server.pictures.bypass import Bypass
from metacompress_server.pictures.sources import PictureSource
from metacompress_server.tenants import Tenant

ACME, GLOBEX = Tenant("acme"), Tenant("globex")
URL = PictureSource("data:image/png;base64,AAAA")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_a_share_of_the_sessions_is_drawn(share: float) -> None:
    drawn = sum(Bypass(share).draws(ACME, f"session {i}", URL) for i in range(4000))
    assert drawn / 4000 == pytest.approx(share, abs=0.03)


def test_every_turn_of_a_dialogue_is_drawn_alike() -> None:
    bypass = Bypass(0.5)
    other = PictureSource(b"another picture")
    sides = {bypass.draws(ACME, "s", picture) for picture in (URL, other, URL)}
    assert len(sides) == 1


def test_without_a_session_the_first_picture_decides() -> None:
    bypass = Bypass(0.5)
    pictures = [PictureSource(b"picture %d" % i) for i in range(400)]
    drawn = [bypass.draws(ACME, None, picture) for picture in pictures]
    assert drawn == [bypass.draws(ACME, None, picture) for picture in pictures]
    assert 150 < sum(drawn) < 250


def test_tenants_are_drawn_apart() -> None:
    sides = [[Bypass(0.5).draws(who, f"s{i}", URL) for i in range(64)] for who in (ACME, GLOBEX)]
    assert sides[0] != sides[1]
