"""The three terms of the training loss."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax


def prediction_loss(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """`KL(teacher || student)`, mean over the answer tokens.

    Args:
        student_logits, teacher_logits: `[A, V]`; compared in fp32.

    Source: arXiv 2603.21701, L_pred.
    """
    return kl_div(
        log_softmax(student_logits.float(), dim=-1),
        log_softmax(teacher_logits.float(), dim=-1),
        log_target=True,
        reduction="batchmean",
    )


def entropy_loss(weights: Sequence[Tensor]) -> Tensor:
    """Mean entropy of the rows of P, in nats: low when every output is sharp.

    Args:
        weights: P of every part of a picture, `[B, M_part, N_part]`.

    Source: arXiv 2603.21701, L_ent.
    """
    return torch.cat([_row_entropies(of_part) for of_part in weights], dim=1).mean()


def column_loss(weights: Sequence[Tensor]) -> Tensor:
    """Largest column sum of P, mean over pictures: high when outputs crowd on a token.

    Args as `entropy_loss`.

    Source: arXiv 2603.21701, L_col.
    """
    columns = torch.cat([of_part.sum(dim=1) for of_part in weights], dim=1)
    return columns.amax(dim=-1).mean()


def _row_entropies(weights: Tensor) -> Tensor:
    # A weight that underflows to 0 contributes 0; the floor keeps its gradient finite.
    logarithms = weights.clamp_min(torch.finfo(weights.dtype).tiny).log()
    return -(weights * logarithms).sum(dim=-1)
