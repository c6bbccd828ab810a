import asyncio
import io
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import numpy as np
import psutil
import pytest
from broken_pictures import Corpus
from PIL import Image

from metacompress_server.intake import PictureIntake, PictureRefused
from metacompress_server.intake.decoder import DecodeLimits, Decoder

pytestmark = pytest.mark.anyio
LIMITS = DecodeLimits(max_pixels=40_000_000, min_side=4, max_aspect=50, max_side=2048)


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with closing(Decoder(workers=1, timeout_s=20, memory_mib=512)) as decoder:
        yield decoder


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


async def code_of(intake: PictureIntake, content: bytes) -> str | None:
    try:
        image, _ = await intake.open(content)
    except PictureRefused as refused:
        return refused.code
    assert image.mode == "RGB"
    assert not image.getexif()
    assert not image.info
    return None


async def test_every_odd_picture_is_taken_or_refused_by_its_code(
    intake: PictureIntake, corpus: Corpus
) -> None:
    found = {name: await code_of(intake, content) for name, (content, _) in corpus.items()}
    assert found == {name: code for name, (_, code) in corpus.items()}


async def test_pixels_are_those_of_the_file(decoder: Decoder) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (50, 40, 3), dtype=np.uint8)
    image = await decoder.decode(png(Image.fromarray(pixels)), LIMITS)
    np.testing.assert_array_equal(np.asarray(image), pixels)


async def test_sixteen_bits_are_scaled_and_not_clipped(decoder: Decoder) -> None:
    grey = Image.fromarray(np.full((8, 8), 128 * 256, np.uint16))
    assert (await decoder.decode(png(grey), LIMITS)).getpixel((0, 0)) == (128, 128, 128)


async def test_transparency_lies_on_the_background(decoder: Decoder) -> None:
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    assert (await decoder.decode(png(clear), LIMITS)).getpixel((0, 0)) == (255, 255, 255)


async def test_a_picture_stands_upright(decoder: Decoder, corpus: Corpus) -> None:
    content, _ = corpus["jpeg turned"]
    assert (await decoder.decode(content, LIMITS)).size == (48, 64)


async def test_a_large_picture_is_scaled_down(decoder: Decoder, corpus: Corpus) -> None:
    content, _ = corpus["png of many pixels"]
    assert (await decoder.decode(content, LIMITS)).size == (2048, 2048)


async def test_size_is_checked_before_a_pixel_is_decoded(decoder: Decoder, corpus: Corpus) -> None:
    """Decoding the bomb would take 400 MB and seconds; its header is refused at once."""
    content, _ = corpus["png bomb"]
    await decoder.decode(png(Image.new("RGB", (8, 8))), LIMITS)
    start = time.monotonic()
    with pytest.raises(PictureRefused, match="too many pixels"):
        await decoder.decode(content, LIMITS)
    assert time.monotonic() - start < 0.5


async def test_memory_of_a_decoder_is_bounded() -> None:
    """300 million pixels do not fit into 256 MiB; without the bound they would be decoded."""
    wide = DecodeLimits(max_pixels=10**9, min_side=1, max_aspect=50, max_side=2048)
    content = png(Image.new("1", (17_500, 17_500)))
    with (
        closing(Decoder(1, 60, memory_mib=256)) as decoder,
        pytest.raises(PictureRefused) as refused,
    ):
        await decoder.decode(content, wide)
    assert refused.value.code == "image_too_large"


async def test_time_of_a_decoder_is_bounded_and_the_next_picture_is_taken() -> None:
    before = decoding_processes()
    with closing(Decoder(workers=1, timeout_s=5.0, memory_mib=512)) as decoder:
        small = png(Image.new("RGB", (8, 8)))
        await decoder.decode(small, LIMITS)
        (process,) = set(decoding_processes()) - set(before)
        process.suspend()
        with pytest.raises(PictureRefused) as refused:
            await decoder.decode(small, LIMITS)
        assert refused.value.code == "image_decoding_timeout"
        assert (await decoder.decode(small, LIMITS)).size == (8, 8)
        assert process not in decoding_processes()
    assert set(decoding_processes()) == set(before)


async def test_the_event_loop_runs_on_while_a_picture_is_decoded(decoder: Decoder) -> None:
    content = png(Image.new("RGB", (4000, 4000)))
    longest, decoding = 0.0, asyncio.ensure_future(decoder.decode(content, LIMITS))
    while not decoding.done():
        before = time.monotonic()
        await asyncio.sleep(0.001)
        longest = max(longest, time.monotonic() - before)
    await decoding
    assert longest < 0.2


async def test_a_decoder_that_died_is_replaced(decoder: Decoder) -> None:
    small = png(Image.new("RGB", (8, 8)))
    await decoder.decode(small, LIMITS)
    for process in decoding_processes():
        process.kill()
        process.wait(5)
    assert (await decoder.decode(small, LIMITS)).size == (8, 8)


async def test_a_decoder_knows_nothing_of_the_servers_environment(decoder: Decoder) -> None:
    await decoder.decode(png(Image.new("RGB", (8, 8))), LIMITS)
    for process in decoding_processes():
        assert not {"METACOMPRESS_API_KEYS", "PATH", "HOME"} & set(process.environ())


def decoding_processes() -> list[psutil.Process]:
    children: Callable[[], list[psutil.Process]] = psutil.Process().children
    return [child for child in children() if "decode_worker" in " ".join(child.cmdline())]
