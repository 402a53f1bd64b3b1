"""The first scale and offset between a student's similarities and a teacher's logits."""

import math

import numpy as np
import pytest
import torch

from bicross.distillation import losses
from bicross.distillation.first_scale import first_scale
from bicross.distillation.list_batches import Lists, Row
from bicross.distillation.list_student import ListStudent, _Lists
from bicross.distillation.student_settings import LIST_LOSSES
from bicross.distillation.vector_losses import TeacherScale

ANGLES = np.linspace(0.2, 1.4, 5)


def known_line(scores: list[np.ndarray], *, spreads: list[float] | None = None, length: float = 1.0) -> tuple:
    """Lists of one query each, whose documents lie at `ANGLES` from it; one set for every entry of ``scores``."""
    documents = length * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1).astype(np.float32)
    queries = np.tile(np.array([[1.0, 0.0]], dtype=np.float32), (len(scores), 1))
    labels = np.full(5, np.nan, np.float32)
    rows = [Row(i, i, np.arange(5), one.astype(np.float32), labels) for i, one in enumerate(scores)]
    texts = [str(i) for i in range(5)]
    names = [str(i) for i in range(len(scores))]
    lists = Lists(names, texts, rows, names, np.array(spreads or [1.0] * len(scores), dtype=np.float32))
    return lists, {"query": queries, "document": documents}


def test_each_set_begins_at_its_own_line() -> None:
    lists, base = known_line([8 * np.cos(ANGLES) - 3, 60 * np.cos(ANGLES) + 100], spreads=[1.0, 2.0])
    scale = first_scale(lists, base, sharpness=1.5, cosine=True)
    assert scale.scales.tolist() == pytest.approx([12.0, 45.0], rel=1e-4)
    assert scale.offset.tolist() == pytest.approx([-4.5, 75.0], rel=1e-4)


def test_cosines_do_not_see_lengths_and_dot_products_do() -> None:
    lists, base = known_line([8 * np.cos(ANGLES)], length=4.0)
    assert first_scale(lists, base, sharpness=1.0, cosine=True).scales.item() == pytest.approx(8.0, rel=1e-4)
    assert first_scale(lists, base, sharpness=1.0, cosine=False).scales.item() == pytest.approx(2.0, rel=1e-4)


def test_no_other_scale_has_margins_nearer_to_the_teacher_s() -> None:
    scores = 9 * np.cos(ANGLES) + np.array([1.0, -2.0, 0.5, 1.5, -1.0])
    lists, base = known_line([scores])
    found = first_scale(lists, base, sharpness=1.0, cosine=True).scales.item()

    def loss(scale: float) -> float:
        """Squared differences of the margins between any two candidates."""
        left = scores - scale * np.cos(ANGLES)
        return float(((left[:, None] - left[None, :]) ** 2).mean())

    assert 5 < found < 20
    assert loss(found) < min(loss(0.9 * found), loss(1.1 * found), loss(20.0))


def test_what_has_no_scores_begins_as_is_usual() -> None:
    lists, base = known_line([np.full(5, np.nan)])
    for cosine, usual in ((True, 20.0), (False, 1.0)):
        for vectors in (base, {}):
            scale = first_scale(lists, vectors, sharpness=1.5, cosine=cosine)
            assert scale.scales.item() == pytest.approx(usual)
            assert scale.offset.item() == 0


@pytest.mark.parametrize(
    ("slope", "cosine", "first"),
    [
        (1000, True, 100),
        (0.01, True, 5),
        (-80, True, 20),
        (-8, True, 5),
        (-8, False, 2),
        (1000, False, 100),
        (0.01, False, 0.01),
        (1e-5, False, 1e-3),
    ],
)
def test_the_first_scale_is_within_bounds_and_a_quarter_of_the_spreads_ratio_at_least(slope, cosine, first) -> None:
    """A teacher that turns the student's order round would have a scale below 0."""
    lists, base = known_line([slope * np.cos(ANGLES)])
    scale = first_scale(lists, base, sharpness=1.0, cosine=cosine)
    assert scale.log_scale.exp().item() == pytest.approx(first, rel=1e-4)


def test_scored_pairs_are_compared_with_each_other() -> None:
    """Lists of one candidate have no margins; their scores lie on one line all the same."""
    lists, base = known_line([8 * np.cos(ANGLES) - 3])
    one = lists.rows[0]
    rows = [Row(0, 0, one.documents[[i]], one.scores[[i]], one.labels[[i]]) for i in range(5)]
    pairs = Lists(lists.queries, lists.documents, rows, lists.names, lists.spreads)
    scale = first_scale(pairs, base, sharpness=1.0, cosine=True)
    assert (scale.scales.item(), scale.offset.item()) == pytest.approx((8.0, -3.0), rel=1e-4)


def test_some_candidates_without_scores_change_nothing() -> None:
    lists, base = known_line([8 * np.cos(ANGLES) - 3])
    lists.rows[0].scores[2] = math.nan
    scale = first_scale(lists, base, sharpness=1.0, cosine=True)
    assert (scale.scales.item(), scale.offset.item()) == pytest.approx((8.0, -3.0), rel=1e-4)


def test_labels_and_teacher_have_a_scale_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """A teacher whose scores lie close together doesn't flatten the softmax over labels."""
    seen = {}
    for name in ("kl_divergence", "margin_mse", "mse", "listwise_cross_entropy", "contrastive"):
        monkeypatch.setattr(losses, name, lambda scores, *_, name=name: seen.setdefault(name, scores).sum())
    weights = dict.fromkeys(LIST_LOSSES, 1.0)
    module = ListStudent({}, weights=weights, spreads=[1.0], scale=TeacherScale(initial=7.0, offsets=[-3.0]))
    cosines = torch.tensor([[0.8, 0.6]])
    labels, source = torch.tensor([[1.0, 0.0]]), torch.zeros(1, dtype=torch.long)
    candidates, mask = torch.tensor([[1, 0]]), torch.ones(1, 2, dtype=torch.bool)
    batch = _Lists(module, candidates, mask, torch.tensor([[2.0, 1.0]]), labels, source, {})
    batch.loss(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.8, 0.6], [0.6, 0.8]]))
    own = 7 * cosines.flip(1) - 3
    for name in ("kl_divergence", "margin_mse", "mse"):
        assert torch.allclose(seen[name], own)
    assert torch.allclose(seen["listwise_cross_entropy"], 20 * cosines.flip(1))
    assert torch.allclose(seen["contrastive"], 20 * cosines)
