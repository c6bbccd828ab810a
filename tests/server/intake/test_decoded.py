import pytest
from broken_pictures import Corpus
from PIL import Image

from metacompress_server.intake import PictureIntake
from metacompress_server.intake.decoded import DecodedPictures
from metacompress_server.tenants import Tenant, enter_tenant

pytestmark = pytest.mark.anyio

SIDE = 10
BYTES = 4 * SIDE * SIDE


def picture(grey: int) -> Image.Image:
    return Image.new("RGB", (SIDE, SIDE), (grey, grey, grey))


def kept(cache: DecodedPictures, *names: bytes) -> list[bool]:
    return [cache.get(cache.key("salt", name)) is not None for name in names]


def test_pictures_come_back_and_belong_to_their_receiver() -> None:
    cache = DecodedPictures(BYTES)
    key = cache.key("salt", b"file")
    given = picture(1)
    cache.put(key, given)
    given.putpixel((0, 0), (9, 9, 9))
    first = cache.get(key)
    assert first is not None
    first.info["tag"] = "mine"
    first.putpixel((0, 0), (8, 8, 8))
    second = cache.get(key)
    assert second is not None
    assert (second.getpixel((0, 0)), second.info) == ((1, 1, 1), {})


def test_the_least_recently_used_make_room() -> None:
    cache = DecodedPictures(2 * BYTES)
    for name in (b"a", b"b"):
        cache.put(cache.key("salt", name), picture(0))
    assert kept(cache, b"a") == [True]
    cache.put(cache.key("salt", b"c"), picture(0))
    assert kept(cache, b"a", b"b", b"c") == [True, False, True]


def test_what_never_fits_moves_nothing() -> None:
    cache = DecodedPictures(BYTES)
    cache.put(cache.key("salt", b"a"), picture(0))
    cache.put(cache.key("salt", b"large"), Image.new("RGB", (SIDE, 2 * SIDE)))
    assert kept(cache, b"a", b"large") == [True, False]
    nothing = DecodedPictures(0)
    nothing.put(nothing.key("salt", b"a"), picture(0))
    assert kept(nothing, b"a") == [False]


def test_a_tenant_finds_its_own_alone() -> None:
    cache = DecodedPictures(BYTES)
    cache.put(cache.key("mine", b"file"), picture(0))
    assert cache.get(cache.key("yours", b"file")) is None


async def test_a_known_picture_is_not_decoded_again_but_for_another_tenant(
    intake: PictureIntake, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = next(content for content, code in corpus.values() if code is None)
    decoded = []
    decode = intake.decoder.decode

    async def counted(content: bytes, limits: object) -> Image.Image:
        decoded.append(content)
        return await decode(content, limits)  # type: ignore[arg-type]

    monkeypatch.setattr(intake.decoder, "decode", counted)
    enter_tenant(Tenant("a fresh one"))
    first, _ = await intake.open(content)
    second, _ = await intake.open(content)
    assert (len(decoded), first.tobytes()) == (1, second.tobytes())
    enter_tenant(Tenant("another fresh one"))
    await intake.open(content)
    assert len(decoded) == 2
