"""The loss terms at points where their values are known."""

import math

import pytest
import torch

from metacompress_compressor.training.losses import column_loss, entropy_loss, prediction_loss


def test_prediction_loss_is_the_kl_divergence_per_token():
    logits = torch.randn(5, 7)
    assert prediction_loss(logits, logits).item() == pytest.approx(0, abs=1e-7)
    assert prediction_loss(logits + 3, logits).item() == pytest.approx(0, abs=1e-6)
    teacher, student = torch.tensor([[0.0, math.log(3)]]), torch.tensor([[0.0, 0.0]])
    expected = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    assert prediction_loss(student, teacher).item() == pytest.approx(expected)
    repeated = prediction_loss(student.repeat(4, 1), teacher.repeat(4, 1))
    assert repeated.item() == pytest.approx(expected)


def test_entropy_is_zero_for_one_hot_rows_and_log_n_for_flat_ones():
    one_hot = torch.eye(6)[:3].unsqueeze(0).requires_grad_()
    loss = entropy_loss([one_hot])
    loss.backward()
    assert loss.item() == 0
    assert one_hot.grad.isfinite().all()
    assert entropy_loss([torch.full((2, 3, 8), 1 / 8)]).item() == pytest.approx(math.log(8))


def test_column_loss_is_the_crowd_on_the_most_wanted_token():
    crowded = torch.zeros(1, 3, 5)
    crowded[:, :, 2] = 1
    assert column_loss([crowded]).item() == 3
    assert column_loss([torch.cat([crowded, torch.full((1, 3, 5), 0.2)])]).item() == pytest.approx(
        1.8
    )


def test_the_parts_of_a_picture_count_by_their_rows_and_columns():
    sharp, flat = torch.eye(4).unsqueeze(0), torch.full((1, 2, 8), 1 / 8)
    assert entropy_loss([sharp, flat]).item() == pytest.approx(math.log(8) * 2 / 6)
    assert column_loss([sharp, flat]).item() == 1
    assert column_loss([flat, 3 * flat]).item() == pytest.approx(0.75)
