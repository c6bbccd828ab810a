"""Ways to bring n visual tokens to m: the mapping and the baselines, one small class each."""

from .base import Budget, PictureBatch, Reduced, Reduction
from .divprune import DivPrune
from .fastv import FastV
from .mapped import Mapped
from .pooling import AvgPool1d, AvgPool2d
from .prumerge import PruMerge, PruMergePlus
from .sampling import Full, Random, Sample, Sample2d
from .selector import Selector
from .smaller_picture import SmallerPicture
from .tome import ToMe
from .visionzip import VisionZip
from .vispruner import VisPruner

__all__ = [
    "AvgPool1d",
    "AvgPool2d",
    "Budget",
    "DivPrune",
    "FastV",
    "Full",
    "Mapped",
    "PictureBatch",
    "PruMerge",
    "PruMergePlus",
    "Random",
    "Reduced",
    "Reduction",
    "Sample",
    "Sample2d",
    "Selector",
    "SmallerPicture",
    "ToMe",
    "VisPruner",
    "VisionZip",
]
