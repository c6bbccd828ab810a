import json
import random

import numpy as np
from PIL import Image

from metacompress_compressor.embedded import pictures_dir
from metacompress_compressor.scenes import draw_scene, sample_dialogue
from metacompress_compressor.scenes.__main__ import dialogue_record

#: The pictures are `metacompress_compressor.scenes --seed 8677 --count 2 --turns 4`.
SEED = 8677


def test_sample_pictures_and_their_expected_answers_are_the_generators():
    lines = (pictures_dir() / "dialogues.jsonl").read_text().splitlines()
    assert len(lines) == 2
    for index, line in enumerate(lines):
        dialogue = sample_dialogue(random.Random(f"{SEED}/{index}"), 4)
        record = json.loads(line)
        assert record == json.loads(dialogue_record(record["image"], dialogue))
        with Image.open(pictures_dir() / record["image"]) as picture:
            assert (np.asarray(picture) == draw_scene(dialogue.scene)).all()
