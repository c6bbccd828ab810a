"""Pictures of strangers: from a data URL, an allowed https URL or stored bytes to plain pixels."""

from .intake import PictureIntake, check_picture, the_intake
from .refusals import PictureRefused

__all__ = ["PictureIntake", "PictureRefused", "check_picture", "the_intake"]
