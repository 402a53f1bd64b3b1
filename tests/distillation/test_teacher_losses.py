"""Losses against a teacher: hand-worked numbers, and sentence-transformers' where they coincide."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from bicross.distillation.losses import (
    binary_cross_entropy,
    contrastive,
    keep_negatives,
    kl_divergence,
    listwise_cross_entropy,
    margin_mse,
    mse,
)
from bicross.distillation.vector_losses import TeacherScale, matryoshka, vector_matching, weighted_sum
from bicross.errors import ConfigurationError
from tiny_models import write_cross_encoder

ALL = torch.ones(1, 3, dtype=torch.bool)
TEACHER_LOSSES = [mse, margin_mse, kl_divergence]


def test_mse_by_hand() -> None:
    loss = mse(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[1.0, 0.0, 0.0]]), ALL)
    assert loss.item() == pytest.approx((0 + 4 + 9) / 3)


def test_margin_mse_by_hand() -> None:
    scores, teacher = torch.tensor([[1.0, 0.0, 3.0]]), torch.tensor([[5.0, 1.0, 2.0]])
    # The teacher's best is the first: margins 1 and -2 against 4 and 3.
    assert margin_mse(scores, teacher, ALL).item() == pytest.approx((9 + 25) / 2)
    # The second as positive: margins -1 and -3 against -4 and -1.
    assert margin_mse(scores, teacher, ALL, torch.tensor([1])).item() == pytest.approx((9 + 4) / 2)


def test_kl_by_hand() -> None:
    # p = 1/2, 1/4, 1/4; q = 1/3 each.
    teacher = torch.tensor([[math.log(2), 0.0, 0.0]])
    expected = 0.5 * math.log(1.5) + 2 * 0.25 * math.log(0.75)
    assert kl_divergence(torch.zeros(1, 3), teacher, ALL).item() == pytest.approx(expected)
    assert kl_divergence(torch.zeros(1, 3), 2 * teacher, ALL, teacher_temperature=2.0).item() == pytest.approx(expected)
    assert kl_divergence(3 * teacher, teacher, ALL, student_temperature=3.0).item() == pytest.approx(0, abs=1e-7)


def test_contrastive_by_hand() -> None:
    scores = torch.tensor([[math.log(2), 0.0, math.log(3)]])
    one = torch.tensor([[True, False, False]])
    assert contrastive(scores, one, ALL).item() == pytest.approx(math.log(6 / 2))
    # A masked document counts for nothing, and no positive for another's negative.
    assert contrastive(scores, one, torch.tensor([[True, True, False]])).item() == pytest.approx(math.log(3 / 2))
    two = torch.tensor([[True, False, True]])
    assert contrastive(scores, two, ALL).item() == pytest.approx((math.log(3 / 2) + math.log(4 / 3)) / 2)


def test_a_query_without_a_negative_has_no_contrastive_loss_and_no_nan() -> None:
    scores = torch.zeros(1, 2, requires_grad=True)
    loss = contrastive(scores, torch.tensor([[True, False]]), torch.tensor([[True, False]]))
    loss.backward()
    assert loss.item() == 0
    assert scores.grad.tolist() == [[0.0, 0.0]]


def test_negatives_near_the_positive_are_dropped_whatever_the_scores_zero() -> None:
    positives = torch.tensor([[True, False, False, False], [False, False, False, False]])
    guide = torch.tensor([[1.0, 0.94, 0.96, 0.0], [1.0, 0.5, 0.2, 0.0]])
    everything = torch.ones_like(positives)
    for shifted in (guide, 10 * guide - 20):
        kept = keep_negatives(shifted, positives, everything, share=0.95)
        assert kept.tolist() == [[False, True, False, True], [False] * 4]
    # What the guide didn't score is neither the lowest nor a negative.
    unknown = torch.tensor([[1.0, 0.94, 0.5, math.nan]])
    kept = keep_negatives(unknown, positives[:1], ~unknown.isnan(), share=0.95)
    assert kept.tolist() == [[False, True, True, False]]


@pytest.mark.parametrize("loss", TEACHER_LOSSES)
def test_what_the_teacher_did_not_score_changes_neither_loss_nor_gradient(loss) -> None:
    short = torch.tensor([[0.3, -0.7]], requires_grad=True)
    padded = torch.tensor([[0.3, 9.0, -0.7]], requires_grad=True)
    a = loss(short, torch.tensor([[2.0, -1.5]]), ALL[:, :2])
    b = loss(padded, torch.tensor([[2.0, math.nan, -1.5]]), torch.tensor([[True, False, True]]))
    a.backward()
    b.backward()
    assert a.item() == pytest.approx(b.item(), abs=1e-6)
    assert a.item() > 0
    assert torch.allclose(short.grad, padded.grad[:, [0, 2]], atol=1e-6)
    assert padded.grad[0, 1] == 0


@pytest.mark.parametrize("loss", TEACHER_LOSSES)
def test_queries_that_say_nothing_are_left_out_of_the_mean(loss) -> None:
    scores, teacher = torch.tensor([[1.0, 0.0], [5.0, 7.0]]), torch.tensor([[3.0, 1.0], [math.nan, math.nan]])
    mask = torch.tensor([[True, True], [False, False]])
    assert loss(scores, teacher, mask).item() == pytest.approx(loss(scores[:1], teacher[:1], mask[:1]).item())
    assert loss(scores[1:], teacher[1:], mask[1:]).item() == 0


def test_scale_and_offset_are_those_of_the_row_s_teacher_and_stay_in_bounds() -> None:
    scale = TeacherScale(2, initial=10.0)
    with torch.no_grad():
        scale.offset.copy_(torch.tensor([0.5, -1.0]))
        scale.log_scale[1] = math.log(500.0)
    logits = scale(torch.tensor([[0.1, 0.2], [0.1, 0.2]]), torch.tensor([0, 1]))
    assert torch.allclose(logits, torch.tensor([[1.5, 2.5], [9.0, 19.0]]), atol=1e-4)


def test_the_scale_is_learnt() -> None:
    torch.manual_seed(0)
    cosines, teacher = torch.rand(64, 8) * 2 - 1, torch.zeros(64, dtype=torch.long)
    scale = TeacherScale()
    optimizer = torch.optim.Adam(scale.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        mse(scale(cosines, teacher), 8.0 * cosines - 3.0, torch.ones(64, 8, dtype=torch.bool)).backward()
        optimizer.step()
    assert scale.scales.item() == pytest.approx(8.0, abs=0.05)
    assert scale.offset.item() == pytest.approx(-3.0, abs=0.05)


@pytest.mark.parametrize(("start", "best"), [(500.0, 40.0), (1e-3, 20.0)])
def test_a_scale_beyond_its_bounds_finds_back(start: float, best: float) -> None:
    torch.manual_seed(0)
    cosines, teacher = torch.rand(64, 8) * 2 - 1, torch.zeros(64, dtype=torch.long)
    scale = TeacherScale(initial=start)
    optimizer = torch.optim.Adam(scale.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        mse(scale(cosines, teacher), best * cosines, torch.ones(64, 8, dtype=torch.bool)).backward()
        optimizer.step()
    assert scale.scales.item() == pytest.approx(best, abs=0.5)


def test_vector_matching_by_hand() -> None:
    vectors, targets = torch.tensor([[3.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 1.0], [0.0, 9.0]])
    assert vector_matching(vectors, targets).item() == pytest.approx((2 - math.sqrt(2)) / 2)
    with pytest.raises(ConfigurationError, match="got 2 for the student and 3"):
        vector_matching(vectors, torch.ones(2, 3))
    projection = torch.nn.Linear(2, 3, bias=False)
    assert vector_matching(vectors, projection(vectors).detach(), projection).item() == pytest.approx(0, abs=1e-6)


def test_weighted_sum_skips_what_weighs_nothing() -> None:
    def fails() -> torch.Tensor:
        raise AssertionError

    assert weighted_sum({"a": lambda: torch.tensor(2.0), "b": fails}, {"a": 0.25, "b": 0.0}).item() == 0.5


class _Vectors(torch.nn.Module):
    """What sentence-transformers' losses ask of a model: features in, `sentence_embedding` out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"sentence_embedding": features["vectors"]}

    def get_embedding_dimension(self) -> int:
        return self.width


def features(*columns: torch.Tensor) -> list[dict[str, torch.Tensor]]:
    return [{"vectors": column} for column in columns]


def unit(*shape: int) -> torch.Tensor:
    return functional.normalize(torch.randn(*shape), dim=-1)


def test_equal_to_sentence_transformers() -> None:
    from sentence_transformers.sentence_transformer import losses as theirs

    torch.manual_seed(0)
    queries, documents, teacher = unit(5, 16), unit(4, 5, 16), 3 * torch.randn(5, 4)
    model, mask = _Vectors(16), torch.ones(5, 4, dtype=torch.bool)
    scores = torch.einsum("qd,cqd->qc", queries, documents)
    first = torch.zeros(5, dtype=torch.long)
    columns = features(queries, *documents)
    pairs = [
        (margin_mse(scores, teacher, mask, first), theirs.MarginMSELoss(model)(columns, teacher)),
        (kl_divergence(scores, teacher, mask), theirs.DistillKLDivLoss(model)(columns, teacher)),
        (
            kl_divergence(scores, teacher, mask, student_temperature=0.5, teacher_temperature=2.0),
            theirs.DistillKLDivLoss(model, student_temperature=0.5, teacher_temperature=2.0)(columns, teacher) / 0.25,
        ),
        (
            contrastive(20 * queries @ documents[0].T, torch.eye(5, dtype=torch.bool), torch.ones(5, 5) > 0),
            theirs.MultipleNegativesRankingLoss(model, scale=20.0)(features(queries, documents[0]), None),
        ),
        (
            vector_matching(queries, documents[1]),
            2 * theirs.EmbedDistillLoss(model, distance_metric="cosine")(features(queries), documents[1]),
        ),
        (vector_matching(queries, documents[1]), 16 * theirs.MSELoss(model)(features(queries), documents[1])),
    ]
    for ours, other in pairs:
        assert ours.item() == pytest.approx(other.item(), abs=1e-6)


def test_losses_on_pairs_are_equal_to_sentence_transformers(tmp_path) -> None:
    from sentence_transformers import CrossEncoder
    from sentence_transformers.cross_encoder import losses as theirs

    model = CrossEncoder(str(write_cross_encoder(tmp_path)), device="cpu")
    queries = ["the cat", "a red bird", "no rain"]
    lists = [["the cat sits", "a dog runs", "old stone"], ["red", "a bird flies", "blue fish"], ["sun", "rain", "wind"]]
    pairs = [(query, text) for query, texts in zip(queries, lists, strict=True) for text in texts]
    columns = [list(column) for column in zip(*pairs, strict=True)]
    with torch.no_grad():
        scores = model(model.preprocess(pairs))["scores"].view(3, 3)
        teacher = 3 * torch.randn(3, 3, generator=torch.Generator().manual_seed(2))
        one = torch.eye(3)
        everything = one >= 0
        # Their target is the softmax of the labels: of 0 and 100, that is 0 and 1.
        listed = theirs.ListNetLoss(model)([queries, lists], list(100 * one)).item()
        found = [
            (mse(scores, teacher, everything), theirs.MSELoss(model)(columns, teacher.view(-1)).item()),
            (
                binary_cross_entropy(scores, one, everything),
                theirs.BinaryCrossEntropyLoss(model)(columns, one.view(-1)).item(),
            ),
            (listwise_cross_entropy(scores, one, everything), listed),
        ]
    for ours, other in found:
        assert ours.item() == pytest.approx(other, abs=1e-6)


def test_matryoshka_is_equal_to_sentence_transformers() -> None:
    from sentence_transformers.sentence_transformer import losses as theirs

    torch.manual_seed(1)
    queries, documents = unit(5, 16), unit(5, 16)
    eye, everything = torch.eye(5, dtype=torch.bool), torch.ones(5, 5, dtype=torch.bool)
    model = _Vectors(16)
    other = theirs.MatryoshkaLoss(
        model, theirs.MultipleNegativesRankingLoss(model), matryoshka_dims=[16, 8, 4], matryoshka_weights=[1, 0.5, 0.25]
    )(features(queries, documents), None)
    ours = matryoshka(
        lambda q, d: contrastive(20 * q @ d.T, eye, everything), (queries, documents), (16, 8, 4), (1, 0.5, 0.25)
    )
    assert ours.item() == pytest.approx(other.item(), abs=1e-6)


def test_vectors_that_are_compared_by_dot_product_keep_their_lengths() -> None:
    vector = torch.tensor([[3.0, 4.0, 12.0]])
    norms = matryoshka(lambda cut: cut.norm(), (vector,), (3, 2), (1, 0.5), normalize=False)
    assert norms.item() == pytest.approx(13 + 0.5 * 5)
    assert matryoshka(lambda cut: cut.norm(), (vector,), (3, 2), (1, 0.5)).item() == pytest.approx(1.5)
