import pytest
import torch

from metacompress_compressor.artifact import ArtifactError
from metacompress_compressor.evaluation.contestants import (
    BASELINES,
    baseline_methods,
    baselines,
    mappings,
    trials_of,
)

CPU = torch.device("cpu")


def test_every_baseline_has_a_name_and_a_label():
    assert list(baseline_methods()) == list(BASELINES)


def test_settings_tell_what_decides_the_result():
    by_name = {c.method.name: c for c in baselines(["prumerge", "fastv_turn_1"], "penultimate")}
    assert by_name["prumerge"].settings == {"layer": "penultimate", "neighbours": 32}
    assert by_name["fastv_turn_1"].settings == {"layers": 2}
    assert by_name["fastv_turn_1"].kind == "prompt-dependent"
    assert by_name["full"].kind == "full"


def test_compressors_are_named_after_their_folders(make_artifact):
    one, two = mappings([make_artifact("one"), make_artifact("two", "1d", seed=1)], CPU)
    assert (one.label, two.label) == ("one", "two")
    assert one.settings["artifact_digest"] != two.settings["artifact_digest"]
    assert two.form == (
        "row softmax, 1d windows, sinusoidal_2d code, token norm layer_norm, conditioning none, "
        "kept positions, key dim 8, trained at 0.25, steps 5, column_weight 0.3"
    )
    assert two.settings["training"] == {"steps": 5, "column_weight": 0.3, "seed": 1}
    with pytest.raises(ArtifactError, match="is taken"):
        mappings([make_artifact("one"), make_artifact("one")], CPU)
    with pytest.raises(ArtifactError, match="is taken"):
        mappings([make_artifact("tome")], CPU)


def rows(trials):
    return [(t.method.name, t.retention_ratio, t.windows, t.positions) for t in trials]


def test_baselines_keep_what_the_first_mapping_keeps(make_artifact):
    paper = mappings([make_artifact("paper", "1d")], CPU)
    trials = trials_of([*baselines(["sample", "avgpool_2d"]), *paper], [0.3], ["kept"])
    assert rows(trials) == [
        ("full", 1.0, "1d", "kept"),
        ("sample", 0.3, "1d", "kept"),
        ("avgpool_2d", 0.3, "2d", "kept"),
        ("paper", 0.3, "1d", "kept"),
    ]


def test_sampling_is_tried_at_both_rules(make_artifact):
    ours = mappings([make_artifact("ours")], CPU)
    trials = trials_of([*baselines(["sample", "tome"]), *ours], [0.3], ["kept", "contiguous"])
    assert [row[1:] for row in rows(trials) if row[0] == "sample"] == [
        (0.3, "2d", "kept"),
        (0.3, "2d", "contiguous"),
        (0.3, "1d", "kept"),
        (0.3, "1d", "contiguous"),
    ]
    assert [row[2] for row in rows(trials) if row[0] == "tome"] == ["2d", "2d"]
    assert rows(trials).count(("full", 1.0, "2d", "kept")) == 1
