"""Pictures of strangers: from a data URL, an allowed https URL or stored bytes to plain pixels."""

from metacompress_server.pictures.refusals import PictureRefused

from .intake import PictureIntake, check_picture, the_intake

__all__ = ["PictureIntake", "PictureRefused", "check_picture", "the_intake"]
