from __future__ import annotations

import math

import pytest
import torch

from bicross.distillation.losses import binary_cross_entropy, listwise_cross_entropy

ALL = torch.ones(1, 3, dtype=torch.bool)


def test_listwise_is_minus_the_log_of_the_positives_share() -> None:
    # Shares of exp(ln 2) = 2, 1 and 1: 2/4.
    scores = torch.tensor([[math.log(2), 0.0, 0.0]])
    assert listwise_cross_entropy(scores, torch.tensor([[1.0, 0, 0]]), ALL).item() == pytest.approx(math.log(2))


def test_listwise_divides_the_target_among_several_positives() -> None:
    scores = torch.tensor([[math.log(2), 0.0, 0.0]])
    loss = listwise_cross_entropy(scores, torch.tensor([[1.0, 1.0, 0]]), ALL)
    assert loss.item() == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(4))


def test_binary_is_the_mean_logistic_loss_of_the_candidates() -> None:
    # sigmoid(ln 3) = 3/4 for the positive, 1/2 and 1/2 for the others.
    scores = torch.tensor([[math.log(3), 0.0, 0.0]])
    loss = binary_cross_entropy(scores, torch.tensor([[1.0, 0, 0]]), ALL)
    assert loss.item() == pytest.approx((math.log(4 / 3) + 2 * math.log(2)) / 3)


@pytest.mark.parametrize("loss", [listwise_cross_entropy, binary_cross_entropy])
def test_padding_changes_neither_loss_nor_gradient(loss) -> None:
    labels = torch.tensor([[1.0, 0.0, 0.0]])
    short = torch.tensor([[0.3, -0.7]], requires_grad=True)
    padded = torch.tensor([[0.3, -0.7, 99.0]], requires_grad=True)
    a = loss(short, labels[:, :2], ALL[:, :2])
    b = loss(padded, labels, torch.tensor([[True, True, False]]))
    a.backward()
    b.backward()
    assert a.item() == pytest.approx(b.item())
    assert padded.grad[0, 2] == 0
    assert torch.allclose(short.grad, padded.grad[:, :2])


@pytest.mark.parametrize("loss", [listwise_cross_entropy, binary_cross_entropy])
def test_the_mean_is_over_queries(loss) -> None:
    scores, labels = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    mask = torch.ones(2, 2, dtype=torch.bool)
    each = [loss(scores[i : i + 1], labels[i : i + 1], mask[i : i + 1]).item() for i in range(2)]
    assert loss(scores, labels, mask).item() == pytest.approx(sum(each) / 2)
