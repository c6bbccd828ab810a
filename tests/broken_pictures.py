"""Odd and broken pictures, as strangers send them, with the code each one is refused by."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

Corpus = dict[str, tuple[bytes, str | None]]


def build_corpus() -> Corpus:
    """Name -> (file, OpenAI's code, or None where the picture is fine)."""
    corpus: Corpus = {name: (content, None) for name, content in _good().items()}
    photo = _save(_noise(64, 48), "JPEG")
    drawing = _save(_noise(64, 48), "PNG")
    webp = _save(_noise(64, 48), "WEBP")
    for name, content in (("jpeg", photo), ("png", drawing), ("webp", webp)):
        corpus[f"{name} cut in half"] = (content[: len(content) // 2], "invalid_image")
        corpus[f"{name} header alone"] = (content[:16], "invalid_image")
        corpus[f"{name} with flipped bits"] = (_flipped(content), "invalid_image")
    corpus |= _hostile() | _other_formats()
    return corpus


def _good() -> dict[str, bytes]:
    rgb, modes = _noise(64, 48), ("L", "P", "1", "LA", "RGBA")
    good = {f"png {mode}": _save(rgb.convert(mode), "PNG") for mode in modes}
    good["png 16 bit"] = _save(Image.fromarray(np.full((48, 64), 40_000, np.uint16)), "PNG")
    good["png palette with transparency"] = _save(rgb.convert("P"), "PNG", transparency=3)
    good["png animated"] = _save(rgb, "PNG", save_all=True, append_images=[rgb.rotate(90)] * 3)
    good["webp animated"] = _save(rgb, "WEBP", save_all=True, append_images=[rgb.rotate(90)] * 3)
    good["webp lossless with alpha"] = _save(rgb.convert("RGBA"), "WEBP", lossless=True)
    good["jpeg CMYK"] = _save(rgb.convert("CMYK"), "JPEG")
    good["jpeg grey"] = _save(rgb.convert("L"), "JPEG")
    good["jpeg progressive"] = _save(rgb, "JPEG", progressive=True)
    good["jpeg turned"] = _save(rgb, "JPEG", exif=_orientation(6))
    good["jpeg with broken exif"] = _save(rgb, "JPEG", exif=b"Exif\0\0MM\0*" + b"\xff" * 60_000)
    good["png of many pixels"] = _save(Image.new("1", (6000, 6000)), "PNG")
    good["trailing bytes"] = _save(rgb, "PNG") + b"\0" * 1000
    return good


def _hostile() -> Corpus:
    return {
        "empty": (b"", "invalid_image"),
        "text": (b"not a picture", "invalid_image"),
        "png of giant size": (_png_header(2_000_000_000, 2_000_000_000), "image_too_large"),
        "png of no size": (_png_header(0, 0), "invalid_image"),
        "png bomb": (_save(Image.new("1", (20_000, 20_000)), "PNG"), "image_too_large"),
        "webp of largest size": (_webp_header(16_383, 16_383), "invalid_image"),
        "1 x 1": (_save(Image.new("RGB", (1, 1)), "PNG"), "image_too_small"),
        "long and thin": (_save(Image.new("RGB", (4000, 8)), "PNG"), "invalid_image_aspect"),
        "png text bomb": (_png_with_text_bomb(), "invalid_image"),
        "png with wrong checksum": (_wrong_checksum(), "invalid_image"),
    }


def _other_formats() -> Corpus:
    rgb = _noise(64, 48)
    kinds = ("GIF", "BMP", "TIFF", "ICO")
    found: Corpus = {kind: (_save(rgb, kind), "invalid_image_format") for kind in kinds}
    found["SVG"] = (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "invalid_image")
    found["EPS"] = (b"%!PS-Adobe-3.0 EPSF-3.0\n", "invalid_image_format")
    return found


def _noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(3).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def _save(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _flipped(content: bytes) -> bytes:
    """Damaged from the middle on, so that no decoder can finish."""
    middle = len(content) // 4
    return content[:middle] + bytes(255 - byte for byte in content[middle : middle + 40])


def _orientation(value: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif.tobytes()


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png_header(width: int, height: int) -> bytes:
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n" + head + _chunk(b"IDAT", zlib.compress(b"\0")) + _chunk(b"IEND", b"")
    )


def _png_with_text_bomb() -> bytes:
    """A compressed comment of 200 MB, before the pixels."""
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 0))
    bomb = _chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"\0" * 200_000_000, 9))
    return b"\x89PNG\r\n\x1a\n" + head + bomb + _save(_noise(64, 48), "PNG")[33:]


def _wrong_checksum() -> bytes:
    content = bytearray(_save(_noise(64, 48), "PNG"))
    content[29] ^= 0xFF
    return bytes(content)


def _webp_header(width: int, height: int) -> bytes:
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + canvas
    frame = _save(_noise(64, 48), "WEBP")[12:]
    return b"RIFF" + struct.pack("<I", len(body) + len(frame)) + body + frame
