"""Contestants differ in how a picture's tokens become fewer, and in nothing else."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoConfig

from benchmarks import before_after
from benchmarks.random_llava import EVEN, LARGER, PROPORTIONED, Shape
from benchmarks.serving import dialogues
from benchmarks.serving.checkpoints import _resized
from benchmarks.serving.contestants import FULL, MAIN, SMALLER, TIERS, embedded
from benchmarks.serving.contestants import _Builder as Builder
from metacompress_compressor.embedded import compressor_dir, model_dir


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return embedded(tmp_path_factory.mktemp("models"))


def by_name(model, name):
    return next(one for one in model.contestants if one.name == name)


def test_budgets_are_those_of_the_artifact(model):
    tokens = {one.name: one.image_tokens for one in model.contestants}
    assert tokens[FULL] == model.num_visual_tokens == 256
    assert tokens[MAIN] == tokens[SMALLER] == 25
    assert [tokens[f"metacompress {less}"] for less in ("70%", "80%", "95%")] == [72, 49, 12]


def test_all_have_the_same_memory_and_limits(model):
    def common(one):
        return one.flags[one.flags.index("--kv-cache-memory-bytes") :]

    assert len({common(one) for one in model.contestants}) == 1
    assert model.kv_bytes_per_token == 2 * 6 * 4 * 64 * 2


def test_records_hold_no_path(model):
    assert not any("/" in flag for one in model.contestants for flag in one.flags)
    assert by_name(model, MAIN).flags[:4] == ("--compressor", "DIR", "--retention", "0.1")


def test_tiers_are_the_only_difference():
    builder = Builder(model_dir(), compressor_dir(), 2048, max_model_len=1024)
    full = builder.full()
    tiers = builder.with_tiers(full)
    assert tiers.name == FULL + TIERS
    assert full.flags[-2:] == ("--session-kv-gib", "0")
    assert tiers.flags[: len(full.flags) - 2] == full.flags[:-2]
    assert float(tiers.flags[len(full.flags) - 1]) > 0


def test_the_smaller_picture_has_a_tower_of_its_own(model):
    folder = by_name(model, SMALLER).words[0]
    config = AutoConfig.from_pretrained(folder)
    assert (config.vision_config.image_size, config.image_seq_length) == (80, 25)
    with open(f"{folder}/processor_config.json") as file:
        size = json.load(file)["image_processor"]["size"]
    assert size == {"height": 80, "width": 80}


def test_position_embeddings_are_interpolated_and_the_class_token_kept():
    rows = torch.arange(16.0).repeat_interleave(16)
    embeddings = torch.cat([torch.tensor([[99.0]]), rows[:, None]])
    resized = _resized(embeddings, 5)
    assert resized.shape == (26, 1)
    assert resized[0] == 99
    grid = resized[1:].reshape(5, 5)
    torch.testing.assert_close(grid, grid[:, :1].expand(5, 5))
    assert (grid.diff(dim=0) > 0).all()


def test_the_proportions_of_the_random_models():
    """Weights of a layer: 12 h^2 in the tower, 4 h^2 + 3 h (3 h) in the language model."""

    def tower_share(shape):
        tower = 12 * shape.tower_hidden**2 * (shape.tower_layers - 1)
        return tower / (13 * shape.hidden**2 * shape.layers)

    assert 0.03 < tower_share(PROPORTIONED) < 0.06
    assert 0.03 < tower_share(LARGER) < 0.06
    assert tower_share(EVEN) > 0.7
    assert Shape().num_visual_tokens == 576


def test_dialogues_are_the_same_again_and_others_under_another_name(tmp_path):
    first = dialogues.scenes(tmp_path, "a", 2, 3)
    assert dialogues.scenes(tmp_path, "a", 2, 3) == first
    assert dialogues.scenes(tmp_path, "b", 2, 3)[0].questions != first[0].questions
    assert len(first[0].questions) == 3


def test_noise_comes_in_every_size_and_no_picture_twice(tmp_path):
    found = dialogues.noise(tmp_path, "a", 4, 1)
    assert [_size(one) for one in found] == [*dialogues.SIZES, dialogues.SIZES[0]]
    assert Path(found[0].picture).read_bytes() != Path(found[3].picture).read_bytes()
    (large,) = dialogues.large(tmp_path, "b", 1, 1)
    assert _size(large) == dialogues.LARGE


def _size(dialogue):
    with Image.open(dialogue.picture) as picture:
        return picture.size


def test_a_text_of_so_many_words(tmp_path):
    (one,) = dialogues.scenes(tmp_path, "a", 1, 1)
    longer = dialogues.with_text(one, 24)
    assert len(longer.questions[0].text.split()) == 24
    assert len(longer.questions) == 2
    assert replace(longer, questions=one.questions) == one


def test_before_and_after_run_from_their_own_sources(model, tmp_path):
    one = before_after.with_sources(by_name(model, MAIN), "before", tmp_path)
    (name, path) = one.environment[0]
    assert name == "PYTHONPATH"
    assert path.split(":")[0] == str(tmp_path / "server")
    tree = before_after.tree("HEAD", tmp_path / "tree")
    assert (tree / "server/metacompress_server/cli.py").is_file()
