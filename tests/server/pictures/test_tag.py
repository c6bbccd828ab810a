from PIL import Image

from metacompress_server.pictures.tag import TAG, PictureTag, tag_of


def test_a_tag_survives_what_processors_do_to_a_picture() -> None:
    image = Image.new("RGB", (4, 4))
    assert tag_of(image) is None
    image.info[TAG] = PictureTag("salt", "low")
    for changed in (image.copy(), image.resize((8, 8)), image.convert("L")):
        assert tag_of(changed) == PictureTag("salt", "low")


def test_what_a_file_says_of_itself_is_no_tag() -> None:
    image = Image.new("RGB", (4, 4))
    image.info[TAG] = "salt"
    assert tag_of(image) is None
