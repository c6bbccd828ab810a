"""An intake with decoding processes of its own, shared by the tests of this folder."""

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from broken_pictures import Corpus, build_corpus

from metacompress_server.intake import PictureIntake
from metacompress_server.settings import ServerSettings


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    return build_corpus()


@pytest.fixture(scope="session")
def intake() -> Iterator[PictureIntake]:
    intake = PictureIntake.of(ServerSettings.read({"decode_workers": 1, "max_image_mib": 2}))
    with closing(intake.decoder):
        yield intake
