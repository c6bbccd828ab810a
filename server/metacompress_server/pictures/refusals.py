"""Why a picture is refused: OpenAI's code for it, and words that give nothing away."""

from metacompress_server.errors import RequestError

PICTURE_REFUSALS = {
    "invalid_image": "a picture could not be read: it is broken, or not a picture",
    "invalid_image_format": "pictures are png, jpeg or webp",
    "unsupported_image_media_type": "a picture's data URL must be of type image/png, jpeg or webp",
    "invalid_base64_image": "a picture's data URL does not hold valid base64",
    "image_too_large": "a picture has too many pixels",
    "image_file_too_large": "a picture's file is too large",
    "image_too_small": "a picture is too small",
    "invalid_image_aspect": "a picture is too long for its width",
    "invalid_image_url": "this server does not take pictures from URLs of this kind",
    "failed_to_download_image": "a picture could not be downloaded",
    "image_decoding_timeout": "a picture took too long to decode",
}
"""Every reason, by the code of the answer."""


class PictureRefused(RequestError):
    """A picture that the server does not take.

    Args:
        code: a key of `PICTURE_REFUSALS`.
        param: the part of the request that holds it.
    """

    def __init__(self, code: str, param: str | None = "messages") -> None:
        super().__init__(PICTURE_REFUSALS[code], param=param, code=code)
        self.reason = code
