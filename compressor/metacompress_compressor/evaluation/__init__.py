"""What compression costs in accuracy and saves in work, beside every simple alternative."""

from .scoring import Method, Trial, score_batch
from .summary import evaluate

__all__ = ["Method", "Trial", "evaluate", "score_batch"]
