"""The three terms of the training loss."""

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


def entropy_loss(weights: Tensor) -> Tensor:
    """Mean entropy of the rows of P `[B, M, N]`, in nats: low when every output is sharp.

    Source: arXiv 2603.21701, L_ent.
    """
    # A weight that underflows to 0 contributes 0; the floor keeps its gradient finite.
    logarithms = weights.clamp_min(torch.finfo(weights.dtype).tiny).log()
    return -(weights * logarithms).sum(dim=-1).mean()


def column_loss(weights: Tensor) -> Tensor:
    """Largest column sum of P `[B, M, N]`, mean over pictures: high when outputs crowd on a token.

    Source: arXiv 2603.21701, L_col.
    """
    return weights.sum(dim=1).amax(dim=-1).mean()
