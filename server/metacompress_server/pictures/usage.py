"""The `metacompress` field of `usage`: what compression saved on one request."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageUsage:
    """Visual tokens of one request's pictures.

    image_tokens_original: what the pictures would have taken without compression.
    image_tokens: what they took.
    images_reused: pictures whose tokens came from a cache, with no run of the vision tower for
        this request; None where the engine does not keep count.
    bypassed: whether the dialogue was drawn to keep all its tokens (`--bypass-share`).
    """

    image_tokens_original: int
    image_tokens: int
    images_reused: int | None
    bypassed: bool = False

    def as_field(self) -> dict[str, int | bool]:
        """The JSON object; a count that is not known is left out rather than made up."""
        field: dict[str, int | bool] = {
            "image_tokens_original": self.image_tokens_original,
            "image_tokens": self.image_tokens,
        }
        if self.images_reused is not None:
            field["images_reused"] = self.images_reused
        if self.bypassed:
            field["bypassed"] = True
        return field
