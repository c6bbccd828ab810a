import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacompress_server.intake.data_url import read_data_url
from metacompress_server.pictures.refusals import PictureRefused


@given(st.binary(max_size=200), st.sampled_from(["png", "jpeg", "jpg", "webp", "PNG"]))
def test_the_content_comes_back(content: bytes, kind: str) -> None:
    url = f"DATA:image/{kind};base64,{base64.b64encode(content).decode()}"
    assert read_data_url(url, max_bytes=200) == content


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for url in (f"data:{text}", f"data:image/png;base64,{text}"):
        with contextlib.suppress(PictureRefused):
            assert len(read_data_url(url, max_bytes=100)) <= 100


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("data:image/svg+xml;base64,AAAA", "unsupported_image_media_type"),
        ("data:text/html;base64,AAAA", "unsupported_image_media_type"),
        ("data:,AAAA", "unsupported_image_media_type"),
        ("data:image/png,AAAA", "invalid_base64_image"),
        ("data:image/png;base64", "invalid_base64_image"),
        ("data:image/png;base64,AAA", "invalid_base64_image"),
        ("data:image/png;base64,AA AA", "invalid_base64_image"),
        ("data:image/png;base64,AA\nAA", "invalid_base64_image"),
        ("data:image/png;base64,AA-_", "invalid_base64_image"),
        ("data:image/png;base64,ÄÄÄÄ", "invalid_base64_image"),
        ("data:image/png;base64,A===", "invalid_base64_image"),
        ("data:image/png;base64," + "A" * 140, "image_file_too_large"),
    ],
)
def test_what_is_no_data_url_of_a_picture(url: str, code: str) -> None:
    with pytest.raises(PictureRefused) as refused:
        read_data_url(url, max_bytes=100)
    assert refused.value.code == code
