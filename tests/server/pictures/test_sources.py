import asyncio

import pytest

from metacompress_server.pictures.sources import (
    HANDLE_SCHEME,
    PictureSource,
    UnknownHandle,
    begin_pictures,
    hand_out,
    handed_out,
    override_detail,
    resolve,
)


def test_a_handle_leads_back_to_its_part() -> None:
    async def request() -> PictureSource:
        begin_pictures()
        hand_out(PictureSource("data:other"))
        url = hand_out(PictureSource(b"\x89PNG", "low", "messages[0].content[1]"))
        assert url.startswith(HANDLE_SCHEME)
        return await asyncio.create_task(_resolve(url))

    found = asyncio.run(request())
    assert found == PictureSource(b"\x89PNG", "low", "messages[0].content[1]")


def test_a_handle_is_worth_nothing_in_another_request() -> None:
    async def first() -> str:
        begin_pictures()
        return hand_out(PictureSource("data:mine"))

    async def second(url: str) -> None:
        begin_pictures()
        with pytest.raises(UnknownHandle):
            resolve(url)

    async def both() -> None:
        url = await asyncio.create_task(first())
        await asyncio.create_task(second(url))
        with pytest.raises(UnknownHandle):
            resolve(url)

    asyncio.run(both())


@pytest.mark.parametrize("url", ["metacompress:", "MetaCompress:1", "metacompress:" + "0" * 32])
def test_a_typed_handle_resolves_to_nothing(url: str) -> None:
    with pytest.raises(UnknownHandle):
        resolve(url)


def test_other_urls_stand_for_themselves() -> None:
    assert resolve("data:image/png;base64,AA==") == PictureSource("data:image/png;base64,AA==")


def test_handing_out_needs_a_table() -> None:
    with pytest.raises(RuntimeError):
        hand_out(PictureSource("data:x"))


def test_one_detail_for_all_pictures_until_it_is_taken_back() -> None:
    async def request() -> None:
        begin_pictures()
        url = hand_out(PictureSource("data:x", "low"))
        override_detail("full")
        assert resolve(url).detail == "full"
        assert [source.detail for source in handed_out()] == ["full"]
        override_detail(None)
        assert resolve(url).detail == "low"

    asyncio.run(request())


async def _resolve(url: str) -> PictureSource:
    return resolve(url)
