from metacompress_compressor.scenes import CATEGORIES, OBJECTS
from metacompress_compressor.scenes.atlas import sprite


def test_at_least_sixty_objects_with_unique_pictures():
    assert len(OBJECTS) >= 60
    assert len({item.code_point for item in OBJECTS.values()}) == len(OBJECTS)
    assert {item.category for item in OBJECTS.values()} == set(CATEGORIES)


def test_articles():
    assert OBJECTS["owl"].with_article == "an owl"
    assert OBJECTS["fox"].with_article == "a fox"
    assert OBJECTS["bread"].with_article == "bread"


def test_every_tile_shows_something_and_none_is_a_copy():
    tiles = {sprite(name, 48, False).tobytes() for name in OBJECTS}
    assert len(tiles) == len(OBJECTS)
    assert all(sprite(name, 48, False)[..., 3].mean() > 0.1 for name in OBJECTS)


def test_mirrored_sprite_is_the_flipped_one():
    assert (sprite("fox", 50, True) == sprite("fox", 50, False)[:, ::-1]).all()
