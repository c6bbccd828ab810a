from metacompress_server.pictures.usage import ImageUsage


def test_the_field_has_three_counts() -> None:
    assert ImageUsage(256, 25, 1).as_field() == {
        "image_tokens_original": 256,
        "image_tokens": 25,
        "images_reused": 1,
    }


def test_a_count_that_is_not_known_is_left_out() -> None:
    assert "images_reused" not in ImageUsage(256, 25, None).as_field()


def test_a_dialogue_that_was_drawn_says_so() -> None:
    assert ImageUsage(256, 256, 1, bypassed=True).as_field()["bypassed"] is True
