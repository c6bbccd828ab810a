import random

import numpy as np
import torch

from metacompress_compressor.embedded.initial import word_id
from metacompress_compressor.embedded.labels import patch_labels
from metacompress_compressor.embedded.symbols import choose_patches, stack_labels
from metacompress_compressor.scenes import CELL_NAMES, OBJECTS, sample_scene
from metacompress_compressor.scenes.layout import BACKGROUNDS


def test_a_patch_is_embedded_as_the_words_that_describe_it(student):
    words = student.model.model.language_model.embed_tokens.weight
    fox = list(OBJECTS).index("fox") + 1
    top_right = CELL_NAMES.index("top right") + 1
    blue = list(BACKGROUNDS).index("blue")
    labels = torch.tensor([[[fox, top_right, 1, 0, blue], [0, 0, 0, 0, blue]]])
    embedded = student.symbolic(labels)
    ids = [word_id(student.tokenizer, f" {word}") for word in ("fox", "top", "right", "small")]
    described = words[ids].sum(dim=0)
    torch.testing.assert_close(embedded[0, 0] - embedded[0, 1], described)


def test_words_of_one_sort_start_alike_and_attention_looks_for_its_like(student):
    language = student.model.model.language_model
    embeddings = language.embed_tokens.weight.detach()
    # What all words have in common says nothing about their sorts.
    words = torch.nn.functional.normalize(embeddings - embeddings.mean(dim=0), dim=-1)

    def likeness(first: str, second: str) -> float:
        one, two = (words[word_id(student.tokenizer, word)] for word in (first, second))
        return (one @ two).item()

    assert likeness(" fox", " animals") > likeness(" fox", " tools") + 0.15
    assert likeness(" blue", " color") > likeness(" blue", " big") + 0.15
    attention = language.layers[0].self_attn
    assert torch.equal(attention.q_proj.weight, attention.k_proj.weight)
    assert torch.equal(attention.o_proj.weight, attention.v_proj.weight.T)


def test_chosen_patches_always_hold_every_middle():
    rng = random.Random(0)
    for _ in range(50):
        labels = patch_labels(sample_scene(rng))
        patches = choose_patches(labels, 48, rng)
        assert len(set(patches)) == 48
        assert patches == sorted(patches)
        assert set(np.flatnonzero(labels[:, 3])) <= set(patches)
    assert stack_labels([labels], [patches]).shape == (1, 48, labels.shape[1])
