"""Data URLs: type, size and base64 are checked before anything is made of them."""

import binascii

from metacompress_server.pictures.refusals import PictureRefused

_MEDIA_TYPES = ("image/png", "image/jpeg", "image/jpg", "image/webp")
_LONGEST_HEAD = 100


def read_data_url(url: str, max_bytes: int) -> bytes:
    """The content of `data:image/...;base64,...`.

    Args:
        url: starts with `data:` in any case.
        max_bytes: of the content; a longer text is refused before it is decoded.

    Raises:
        PictureRefused: another type, no strict base64, or too long.
    """
    head, comma, text = url[len("data:") :].partition(",")
    if not comma or len(head) > _LONGEST_HEAD:
        raise PictureRefused("invalid_base64_image")
    media_type, *parameters = head.lower().split(";")
    if media_type not in _MEDIA_TYPES:
        raise PictureRefused("unsupported_image_media_type")
    if parameters[-1:] != ["base64"]:
        raise PictureRefused("invalid_base64_image")
    if len(text) > -(-max_bytes // 3) * 4:
        raise PictureRefused("image_file_too_large")
    try:
        return binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except ValueError:
        raise PictureRefused("invalid_base64_image") from None
