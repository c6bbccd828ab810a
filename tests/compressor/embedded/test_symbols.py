import random

import numpy as np
import torch

from metacompress_compressor.embedded.labels import patch_labels
from metacompress_compressor.embedded.symbols import choose_patches, stack_labels
from metacompress_compressor.scenes import OBJECTS, sample_scene


def test_an_object_is_embedded_as_its_word(student):
    words = student.model.model.language_model.embed_tokens.weight
    fox = list(OBJECTS).index("fox") + 1
    labels = torch.tensor([[[fox, 3, 1, 0, 2], [0, 3, 1, 0, 2]]])
    embedded = student.symbolic(labels)
    word = student.tokenizer.encode(" fox", add_special_tokens=False)[0]
    torch.testing.assert_close(embedded[0, 0] - embedded[0, 1], words[word])


def test_chosen_patches_always_hold_every_middle():
    rng = random.Random(0)
    for _ in range(50):
        labels = patch_labels(sample_scene(rng))
        patches = choose_patches(labels, 48, rng)
        assert len(set(patches)) == 48
        assert patches == sorted(patches)
        assert set(np.flatnonzero(labels[:, 3])) <= set(patches)
    assert stack_labels([labels], [patches]).shape == (1, 48, labels.shape[1])
