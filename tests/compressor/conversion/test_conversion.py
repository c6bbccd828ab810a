"""Converters on small files of the published layouts, and on files that are something else."""

import argparse
import json
import random
from collections import Counter

import pytest
from PIL import Image

from metacompress_compressor.conversion import cli
from metacompress_compressor.conversion.drafts import Draft, in_dialogues
from metacompress_compressor.training.dialogues import read_dialogues


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    return folder


@pytest.fixture
def convert(images, tmp_path):
    """Run the command; gives its status and the file's path."""

    def run(*words):
        parser = argparse.ArgumentParser()
        cli.add_arguments(parser)
        out = tmp_path / "converted" / "dialogues.jsonl"
        common = ["--images", str(images), "--out", str(out)]
        return cli.run(parser.parse_args([*map(str, words), *common])), out

    return run


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def picture(folder, name):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(folder / name)


def summary(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def gqa_question(image, number, **changes):
    """A question as GQA publishes it."""
    return {
        "semantic": [{"operation": "select", "argument": "bird (123)", "dependencies": []}],
        "entailed": [],
        "equivalent": [f"{number}"],
        "question": f"Is it number {number}?",
        "imageId": image,
        "isBalanced": True,
        "groups": {"global": None, "local": "06-bird"},
        "answer": "yes" if number % 2 else "no",
        "semanticStr": "select: bird (123)",
        "annotations": {"answer": {}, "question": {}, "fullAnswer": {}},
        "types": {"detailed": "existAttrC", "semantic": "attr", "structural": "verify"},
        "fullAnswer": "Yes, it is.",
        **changes,
    }


@pytest.fixture
def gqa_file(images, tmp_path):
    """Eight questions about two pictures, mixed: five about n1, three about n2."""
    order = ["n1", "n2", "n1", "n1", "n2", "n1", "n2", "n1"]
    for name in ("n1", "n2"):
        picture(images, f"{name}.jpg")
    questions = {f"2{i:07d}": gqa_question(image, i) for i, image in enumerate(order)}
    return write(tmp_path / "testdev_balanced_questions.json", questions)


def test_gqa_groups_by_picture_in_source_order_and_drops_remainders(convert, gqa_file, capsys):
    status, out = convert("gqa", gqa_file)
    assert status == 0
    data = read_dialogues([out])
    assert data.problems == ()
    first, second = data.dialogues
    assert first.image.name == "n1.jpg"
    assert [turn.question for turn in first.turns] == [f"Is it number {i}?" for i in (0, 2, 3)]
    assert [turn.question for turn in second.turns] == [f"Is it number {i}?" for i in (1, 4, 6)]
    assert [turn.answer for turn in second.turns] == ["yes", "no", "no"]
    assert {turn.kind for turn in first.turns} == {"verify"}
    found = summary(capsys)
    assert (found["dialogues"], found["turns"]) == (2, 6)
    assert found["left_out"] == {"remainder of fewer than 3 questions": 2}


def test_remainders_can_be_kept_and_dialogues_be_longer(convert, gqa_file):
    _, out = convert("gqa", gqa_file, "--turns", "4", "--keep-remainder")
    assert [len(dialogue.turns) for dialogue in read_dialogues([out]).dialogues] == [4, 1, 3]


def test_gqa_of_a_split_without_answers_is_refused(convert, tmp_path, images, capsys):
    hidden = {"1": {"imageId": "n1", "question": "Is it?", "isBalanced": True}}
    status, out = convert("gqa", write(tmp_path / "test_balanced_questions.json", hidden))
    assert status == 2
    assert "question 1 has no answer: this split's answers are not" in capsys.readouterr().err
    assert not out.exists()


def test_published_totals_of_testdev_balanced_allow_dropping_alone():
    """12,578 questions about 398 pictures make 4,061 dialogues only without the remainders.

    Which picture has how many questions is in the file alone; so every split of the total that has
    395 questions left over is as good as the published one.
    """
    pictures, total = 398, 12_578
    rng = random.Random(0)
    remainders = [1] * 199 + [2] * 98 + [0] * 101
    thirds = [10] * pictures
    for _ in range((total - sum(remainders)) // 3 - sum(thirds)):
        thirds[rng.randrange(pictures)] += 1
    turns_of = {
        (f"{number}.jpg",): [{}] * (3 * whole + rest)
        for number, (whole, rest) in enumerate(zip(thirds, remainders, strict=True))
    }
    assert sum(map(len, turns_of.values())) == total

    def dialogues(**options):
        entries = in_dialogues(turns_of, 3, source="gqa", **options)
        return sum(isinstance(entry, Draft) for entry in entries)

    assert dialogues(keep_remainder=False) == 4_061
    assert dialogues(keep_remainder=True) >= 4_193, "the fewest there can be: total / 3, upwards"


@pytest.fixture
def vqa_files(images, tmp_path):
    picture(images, "COCO_val2014_000000262148.jpg")
    header = {
        "info": {"description": "This is v2.0 of the VQA dataset.", "version": "2.0"},
        "data_type": "mscoco",
        "data_subtype": "val2014",
        "license": {"name": "CC"},
    }
    numbers = [262148000, 262148001, 262148002, 262148003]
    asked = [{"image_id": 262148, "question": f"Where is {n}?", "question_id": n} for n in numbers]
    answered = [
        {
            "question_type": "where is",
            "multiple_choice_answer": "down",
            "answers": [
                {"answer": "down" if i < 8 else "below", "answer_confidence": "yes", "answer_id": i}
                for i in range(1, 11)
            ],
            "image_id": 262148,
            "answer_type": "other",
            "question_id": n,
        }
        for n in numbers[:3]
    ]
    questions = {**header, "task_type": "Open-Ended", "questions": asked}
    return (
        write(tmp_path / "v2_OpenEnded_mscoco_val2014_questions.json", questions),
        write(tmp_path / "v2_mscoco_val2014_annotations.json", {**header, "annotations": answered}),
    )


def test_vqa_keeps_all_ten_answers(convert, vqa_files, capsys):
    status, out = convert("vqav2", *vqa_files)
    assert status == 0
    (dialogue,) = read_dialogues([out]).dialogues
    assert dialogue.image.name == "COCO_val2014_000000262148.jpg"
    assert [turn.answer for turn in dialogue.turns] == ["down"] * 3
    assert {turn.kind for turn in dialogue.turns} == {"other"}
    assert Counter(dialogue.turns[0].answers) == {"down": 7, "below": 3}
    left_out = summary(capsys)["left_out"]
    assert left_out == {"no annotation in v2_mscoco_val2014_annotations.json": 1}


def test_vqa_files_of_two_splits_are_refused(convert, vqa_files, capsys):
    content = json.loads(vqa_files[1].read_text())
    write(vqa_files[1], {**content, "data_subtype": "train2014"})
    assert convert("vqav2", *vqa_files)[0] == 2
    assert "is of val2014, but" in capsys.readouterr().err


def test_llava_instructions(convert, images, tmp_path, capsys):
    picture(images, "coco/train2017/000000033471.jpg")

    def entry(*texts, **more):
        spoken = [
            {"from": who, "value": text}
            for who, text in zip(["human", "gpt"] * 3, texts, strict=False)
        ]
        return {"id": "000000033471", "conversations": spoken, **more}

    shown = {"image": "coco/train2017/000000033471.jpg"}
    entries = [
        entry("What are the colors?\n<image>", "White and red.", "And the bus?", "Red.", **shown),
        entry("Tell me a story.", "Once upon a time."),
        entry("<image>\nOne?", **shown),
        entry("<image>", "Nothing was asked.", **shown),
        entry("<image>\nGone?", "Yes.", image="coco/gone.jpg"),
    ]
    status, out = convert("llava", write(tmp_path / "llava_instruct_150k.json", entries))
    assert status == 0
    (dialogue,) = read_dialogues([out]).dialogues
    assert [(turn.question, turn.answer) for turn in dialogue.turns] == [
        ("What are the colors?", "White and red."),
        ("And the bus?", "Red."),
    ]
    captured = capsys.readouterr()
    assert json.loads(captured.out)["left_out"] == {
        "text without a picture": 1,
        "speakers do not take turns": 1,
        "an empty text": 1,
        "no picture": 1,
    }
    assert f"entry 4: there is no {images / 'coco/gone.jpg'}" in captured.err


def visdial_content(split="val2018"):
    rounds = [
        {"question": 0, "answer": 1, "answer_options": [0, 1], "gt_index": 1},
        {"question": 1, "answer": 0, "answer_options": [0, 1], "gt_index": 0},
    ]
    dialogs = [{"image_id": 185565, "caption": "the computer is on the desk", "dialog": rounds}]
    data = {
        "questions": ["is the photo in color", "is it a zoo ?"],
        "answers": ["no", "yes"],
        "dialogs": dialogs,
    }
    return {"version": "1.0", "split": split, "data": data}


@pytest.mark.parametrize(
    ("split", "name"),
    [
        ("val2018", "VisualDialog_val2018_000000185565.jpg"),
        ("train", "COCO_train2014_000000185565.jpg"),
        ("train", "COCO_val2014_000000185565.jpg"),
    ],
)
def test_visual_dialog(convert, images, tmp_path, split, name):
    picture(images, name)
    status, out = convert("visdial", write(tmp_path / "visdial.json", visdial_content(split)))
    assert status == 0
    (dialogue,) = read_dialogues([out]).dialogues
    assert dialogue.image.name == name
    assert [(turn.question, turn.answer) for turn in dialogue.turns] == [
        ("is the photo in color?", "yes"),
        ("is it a zoo?", "no"),
    ]


def test_visual_dialog_of_the_test_split_ends_where_answers_end(convert, images, tmp_path, capsys):
    picture(images, "VisualDialog_test2018_000000185565.jpg")
    content = visdial_content("test2018")
    (dialog,) = content["data"]["dialogs"]
    del dialog["dialog"][1]["answer"]
    content["data"]["dialogs"].append({"image_id": 1, "caption": "", "dialog": [{"question": 0}]})
    _, out = convert("visdial", write(tmp_path / "visdial_1.0_test.json", content))
    assert [len(dialogue.turns) for dialogue in read_dialogues([out]).dialogues] == [1]
    assert summary(capsys)["left_out"] == {"no answered round": 1}


def test_easy_vqa(convert, images, tmp_path):
    for name in ("0.png", "1.png"):
        picture(images, name)
    questions = [
        ["what is the red shape?", "triangle", 0],
        ["what is the color of the triangle?", "red", 0],
        ["does the image contain a circle?", "no", 0],
        ["what is the color of the rectangle?", "yellow", 1],
    ]
    _, out = convert("easy-vqa", write(tmp_path / "questions.json", questions))
    (dialogue,) = read_dialogues([out]).dialogues
    assert [turn.kind for turn in dialogue.turns] == ["other", "other", "yes/no"]


def test_an_instruction_stands_behind_every_question(convert, gqa_file):
    _, out = convert("gqa", gqa_file, "--instruction", "Use one word.")
    turns = read_dialogues([out]).dialogues[0].turns
    assert [turn.question for turn in turns][:2] == [
        "Is it number 0?\nUse one word.",
        "Is it number 2?\nUse one word.",
    ]


@pytest.mark.parametrize(
    ("words", "content", "message"),
    [
        (["gqa"], [1], "is no GQA question file: it holds a list, not a dict"),
        (["gqa"], {"1": 3}, "question 1 is not an object but 3"),
        (["gqa"], {"1": {"imageId": 7}}, "question 1: 'imageId' is 7, not a str"),
        (["gqa"], {}, "nothing to convert; the first problem: no entry"),
        (["llava"], {"a": 1}, "is no LLaVA instruction file"),
        (["llava"], [{"image": "x.jpg"}], "entry 0 has no 'conversations'"),
        (["visdial"], {"split": "val2018"}, "has no 'data'"),
        (["visdial"], {"split": "v", "data": {"questions": [], "answers": []}}, "no 'dialogs'"),
        (["easy-vqa"], [["what?", "red"]], "question 0 is not [question, answer, picture number]"),
    ],
)
def test_other_files_are_named(convert, tmp_path, capsys, words, content, message):
    path = write(tmp_path / "other.json", content)
    status, out = convert(*words, path)
    assert status == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "convert:" in line]
    assert line.startswith("metacompress convert: ")
    assert message in line
    assert not out.exists()
    assert not list(out.parent.glob("*.partial"))


def test_visual_dialog_with_a_number_out_of_range(convert, tmp_path, capsys):
    content = visdial_content()
    content["data"]["answers"] = ["no"]
    assert convert("visdial", write(tmp_path / "v.json", content))[0] == 2
    assert "dialog 0: there is no answer number 1" in capsys.readouterr().err


def test_files_that_cannot_be_used(convert, gqa_file, images, tmp_path, capsys):
    assert convert("gqa", tmp_path / "gone.json")[0] == 2
    assert "cannot read" in capsys.readouterr().err
    (tmp_path / "broken.json").write_text("{")
    assert convert("gqa", tmp_path / "broken.json")[0] == 2
    assert "is not JSON" in capsys.readouterr().err
    assert convert("gqa", gqa_file)[0] == 0
    assert convert("gqa", gqa_file)[0] == 2
    assert "exists already" in capsys.readouterr().err


def test_a_folder_without_the_pictures(convert, gqa_file, images, capsys):
    for file in images.iterdir():
        file.unlink()
    assert convert("gqa", gqa_file)[0] == 2
    assert f"there is no {images / 'n1.jpg'}" in capsys.readouterr().err
    images.rmdir()
    assert convert("gqa", gqa_file)[0] == 2
    assert "no folder of pictures" in capsys.readouterr().err
