"""What a file is by its first bytes; no decoder of another format is ever started."""

from metacompress_server.pictures.refusals import PictureRefused

_OTHERS = (b"GIF8", b"BM", b"II*\0", b"MM\0*", b"\0\0\1\0", b"8BPS", b"%PDF", b"%!PS", b"qoif")


def picture_format(content: bytes) -> str:
    """Pillow's name of the format: `PNG`, `JPEG` or `WEBP`.

    Raises:
        PictureRefused: another picture format, or no picture.
    """
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if content.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WEBP"
    other = content.startswith(_OTHERS) or content[4:8] == b"ftyp"
    raise PictureRefused("invalid_image_format" if other else "invalid_image")
