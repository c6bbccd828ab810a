"""Features are computed once, and anew when a picture changes."""

import pytest
import torch
from PIL import Image

from metacompress_compressor.adapters import load_adapter
from metacompress_compressor.training.dialogues import DataError
from metacompress_compressor.training.features import cached_features


@pytest.fixture(scope="module")
def adapter(tiny_llava):
    return load_adapter(tiny_llava)


def test_computed_once_and_equal_to_the_model_s(adapter, dialogue_folder, tmp_path, monkeypatch):
    images = sorted(dialogue_folder.glob("*.png"))
    expected = adapter.visual_tokens([Image.open(image) for image in images])
    first = cached_features(adapter, images, tmp_path, lambda done, total: None)
    assert torch.equal(torch.stack([first[i] for i in range(8)]), expected.half())

    monkeypatch.delattr(type(adapter), "visual_tokens")
    progress = []
    again = cached_features(adapter, images, tmp_path, lambda *call: progress.append(call))
    assert torch.equal(first.tokens, again.tokens)
    assert first.key == again.key
    assert progress == [(8, 8)]
    assert [path.suffix for path in tmp_path.glob("features-*")] == [".bin"]


def test_a_changed_picture_is_computed_anew(adapter, dialogue_folder, tmp_path):
    images = sorted(dialogue_folder.glob("*.png"))
    before = cached_features(adapter, images, tmp_path, lambda done, total: None)
    images[0].write_bytes(images[1].read_bytes())
    after = cached_features(adapter, images, tmp_path, lambda done, total: None)
    assert before.key != after.key
    assert not torch.equal(before[0], after[0])
    assert torch.equal(before.tokens[16:], after.tokens[16:])


def test_a_broken_picture_is_named_and_leaves_no_cache(adapter, dialogue_folder, tmp_path):
    (dialogue_folder / "3.png").write_bytes(b"no picture")
    images = sorted(dialogue_folder.glob("*.png"))
    with pytest.raises(DataError, match=r"cannot read picture .*3\.png"):
        cached_features(adapter, images, tmp_path, lambda done, total: None)
    assert not list(tmp_path.glob("*.bin"))
