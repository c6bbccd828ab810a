"""Dialogue files: good lines are read, bad ones reported with file and line."""

import json

import pytest

from metacompress_compressor.training.dialogues import DataError, data_digest, read_dialogues


def test_reads_files_and_folders(dialogue_folder):
    data = read_dialogues([dialogue_folder, dialogue_folder / "dialogues.jsonl"])
    assert len(data.dialogues) == 20
    assert len(data.images) == 8
    assert data.problems == ()
    assert data.dialogues[1].turns[1].question == "what is 1?"
    assert data.dialogues[1].turns[1].kind == "count"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "Expecting property name"),
        ("[1]", "not a JSON object"),
        ('{"turns": []}', "image is None, not a path"),
        ('{"image": "0.png", "turns": []}', "at least one turn"),
        ('{"image": "0.png", "turns": [3]}', "turn 1 is not a JSON object"),
        ('{"image": "0.png", "turns": [{"question": "x"}]}', "turn 1: answer is None, not text"),
        (
            '{"image": "0.png", "turns": [{"question": " ", "answer": "a"}]}',
            "turn 1: question is ' ', not text",
        ),
        (
            '{"image": "0.png", "turns": [{"question": "x", "answer": "a", "kind": 1}]}',
            "turn 1: kind is 1, not text",
        ),
        (
            '{"image": "0.png", "turns": [{"question": "x", "answer": "a", "answers": "a"}]}',
            "turn 1: answers is 'a', not a list of texts",
        ),
        ('{"image": "gone.png", "turns": [{"question": "x", "answer": "a"}]}', "gone.png"),
        ("", "Expecting value"),
    ],
)
def test_bad_lines_are_reported_and_counted(dialogue_folder, line, message):
    path = dialogue_folder / "dialogues.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], line, *lines[3:]]))
    data = read_dialogues([path])
    assert len(data.dialogues) == 10
    assert len(data.problems) == 1
    assert data.problems[0].startswith(f"{path}:4: ")
    assert message in data.problems[0]


def test_all_people_s_answers_are_kept(dialogue_folder):
    path = dialogue_folder / "dialogues.jsonl"
    turn = {"question": "what?", "answer": "a fox", "answers": ["a fox"] * 7 + ["fox"] * 3}
    path.write_text(json.dumps({"image": "0.png", "turns": [turn]}))
    ((read,),) = [dialogue.turns for dialogue in read_dialogues([path]).dialogues]
    assert read.answers == tuple(turn["answers"])


def test_bytes_that_are_not_text_are_reported(dialogue_folder):
    path = dialogue_folder / "dialogues.jsonl"
    path.write_bytes(path.read_bytes() + b'{"image": "\xff"}\n')
    assert read_dialogues([path]).problems[0].startswith(f"{path}:11: ")


def test_nothing_usable_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*missing\.jsonl: No such file"):
        read_dialogues([tmp_path / "missing.jsonl"])
    (tmp_path / "empty.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match=r"no usable dialogue .* the first problem: .*:1: image"):
        read_dialogues([tmp_path / "empty.jsonl"])


def test_digest_knows_texts_and_pictures(dialogue_folder):
    def digest():
        return data_digest(read_dialogues([dialogue_folder]).dialogues)

    first = digest()
    assert digest() == first
    path = dialogue_folder / "dialogues.jsonl"
    lines = path.read_text().splitlines()
    changed = json.loads(lines[0])
    changed["turns"][0]["answer"] = "another"
    path.write_text("\n".join([json.dumps(changed), *lines[1:]]))
    second = digest()
    (dialogue_folder / "1.png").write_bytes((dialogue_folder / "2.png").read_bytes())
    assert len({first, second, digest()}) == 3
