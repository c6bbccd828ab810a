"""A process of its own that decodes pictures of strangers within bounds.

Run as `python -I -m metacompress_server.intake.decode_worker MEMORY_MIB`. On stdin a job is a line
of JSON (`DecodeLimits`, format, size) and the file; on stdout the answer is a line of JSON and the
pixels as RGB. The process knows no variable of the server's environment, may write no file, and is
killed by its owner where it takes too long.
"""

import io
import json
import resource
import struct
import sys
from typing import Any

from PIL import Image, ImageOps

_BROKEN = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    struct.error,
    KeyError,
    TypeError,
    IndexError,
)
_RAW_GREY = ("I", "I;16", "I;16B", "I;16L", "I;16N")


class Unacceptable(Exception):
    """The picture is refused; the argument is the code."""


def main() -> None:
    """Answer jobs until stdin ends."""
    _bound(int(sys.argv[1]))
    jobs, answers = sys.stdin.buffer, sys.stdout.buffer
    while line := jobs.readline():
        job = json.loads(line)
        answer, pixels = decode(job, jobs.read(job["size"]))
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.write(pixels)
        answers.flush()


def decode(job: dict[str, Any], content: bytes) -> tuple[dict[str, Any], bytes]:
    """The answer to one job: width and height with pixels, or `refused` with a code."""
    try:
        image = _decode(job, content)
        return {"width": image.width, "height": image.height}, image.tobytes()
    except Unacceptable as refusal:
        return {"refused": str(refusal)}, b""
    except MemoryError:
        return {"refused": "image_too_large"}, b""
    except _BROKEN:
        return {"refused": "invalid_image"}, b""


def _decode(job: dict[str, Any], content: bytes) -> Image.Image:
    with Image.open(io.BytesIO(content), formats=[job["format"]]) as image:
        _check_size(image.width, image.height, job)
        side = job["max_side"]
        if max(image.size) > side:
            image.draft("RGB", (side, side))
        image.load()
        plain = _rgb(_upright(image), tuple(job["background"]))
    if max(plain.size) > side:
        plain.thumbnail((side, side), Image.Resampling.BICUBIC)
    return plain


def _check_size(width: int, height: int, job: dict[str, Any]) -> None:
    """By the file's header alone, before a pixel is decoded."""
    if width * height > job["max_pixels"]:
        raise Unacceptable("image_too_large")
    if min(width, height) < job["min_side"]:
        raise Unacceptable("image_too_small")
    if max(width, height) > job["max_aspect"] * min(width, height):
        raise Unacceptable("invalid_image_aspect")


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF says; EXIF that cannot be read turns nothing."""
    try:
        return ImageOps.exif_transpose(image)
    except _BROKEN:
        return image


def _rgb(image: Image.Image, background: tuple[int, ...]) -> Image.Image:
    """Any mode as RGB: 16 bits per grey pixel scaled to 8, transparency laid on `background`."""
    if image.mode in _RAW_GREY:
        return image.point(lambda value: value * (1 / 256)).convert("L").convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layered = image.convert("RGBA")
        plain = Image.new("RGB", image.size, background)
        plain.paste(layered, mask=layered.getchannel("A"))
        return plain
    return image.convert("RGB")


def _bound(memory_mib: int) -> None:
    """Memory of this process, no core files, no written files; the size check is ours."""
    memory = memory_mib << 20
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    Image.MAX_IMAGE_PIXELS = None


if __name__ == "__main__":
    main()
