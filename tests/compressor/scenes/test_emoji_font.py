"""Another drawing style: same scenes, other pictures; fonts that cannot draw them are refused."""

import random
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from metacompress_compressor.scenes import __main__ as command
from metacompress_compressor.scenes import atlas, draw_scene, sample_scene
from metacompress_compressor.scenes.catalogue import OBJECTS
from metacompress_compressor.scenes.emoji_font import DEBIAN_FONT, FontError, emoji_tile

PLAIN_FONT = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"


def test_a_style_changes_objects_and_nothing_else(monkeypatch):
    asked = []

    def tile(font, name):
        asked.append((font, name))
        return Image.new("RGBA", (50, 50), (255, 0, 0, 255))

    monkeypatch.setattr(atlas, "emoji_tile", tile)
    atlas.sprite.cache_clear()
    scene = sample_scene(random.Random(5))
    own, other = draw_scene(scene), draw_scene(scene, Path("some.ttf"))
    atlas.sprite.cache_clear()
    assert set(asked) == {(Path("some.ttf"), item.name) for item in scene.objects}
    outside = np.ones(own.shape[:2], dtype=bool)
    for item in scene.objects:
        square = np.s_[item.top : item.top + item.size, item.left : item.left + item.size]
        outside[square] = False
        assert (other[square][1:-1, 1:-1] == [255, 0, 0]).all()
    assert (own[outside] == other[outside]).all()


def test_fonts_that_cannot_be_used(tmp_path):
    with pytest.raises(FontError, match=r"cannot use .*gone\.ttf .* fonts-noto-color-emoji"):
        emoji_tile(tmp_path / "gone.ttf", "fox")
    (tmp_path / "text.ttf").write_text("no font")
    with pytest.raises(FontError, match=r"cannot use .*text\.ttf"):
        emoji_tile(tmp_path / "text.ttf", "fox")
    with pytest.raises(FontError, match="has no colour picture of the fox"):
        emoji_tile(PLAIN_FONT, "fox")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--style", "noto", "--font", str(PLAIN_FONT)], "has no colour picture"),
        (["--font", str(PLAIN_FONT)], "--font is for --style noto"),
    ],
)
def test_the_command_names_the_font_and_writes_nothing(
    tmp_path, monkeypatch, capsys, options, message
):
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["scenes", "--count", "1", "--out", str(out), *options])
    with pytest.raises(SystemExit):
        command.main()
    assert message in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.skipif(not DEBIAN_FONT.is_file(), reason="fonts-noto-color-emoji is not installed")
def test_noto_draws_every_object():
    tiles = {emoji_tile(DEBIAN_FONT, name).tobytes() for name in OBJECTS}
    assert len(tiles) == len(OBJECTS)
