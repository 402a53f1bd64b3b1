"""Losses as functions of a score matrix: one row per query, one column per candidate.

**Shape:** everywhere (queries, candidates), the scores as raw logits. ``mask`` is True where there is a candidate:
queries with fewer candidates than the widest are padded. Every function returns the mean over the queries, a scalar.
A query that says nothing (no candidate that counts, or one alone where candidates are compared) is left out of the
mean; where none is left the loss is 0.

A normalised student's cosines are no logits: pass them through `TeacherScale` first.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_NONE = -1e9
"""A score that no candidate has: finite, so that its gradient is 0 and not NaN."""


def listwise_cross_entropy(scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    r"""Softmax cross-entropy over a query's candidates.

    :math:`-\sum_j \frac{y_j}{\sum_k y_k} \log \frac{\exp s_j}{\sum_k \exp s_k}`, the top-one form of ListNet (Cao et
    al. 2007, "Learning to Rank: From Pairwise Approach to Listwise Approach", eq. 3 and 4 with one-hot targets); with
    one positive it is the localised contrastive loss of Gao et al. 2021, "Rethink Training of BERT Rerankers", eq. 3.

    Args:
        scores: Logits. **Shape:** (queries, candidates).
        labels: 1 for relevant candidates, 0 for others; every row has at least one 1. **Shape:** as ``scores``.
        mask: False for padding. **Shape:** as ``scores``, boolean.

    Returns:
        Scalar.

    >>> import torch
    >>> scores, labels = torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    >>> round(float(listwise_cross_entropy(scores, labels, torch.ones(1, 2, dtype=torch.bool))), 4)
    0.6931
    """
    log_share = functional.log_softmax(scores.float().masked_fill(~mask, float("-inf")), dim=1)
    target = labels.float() * mask
    target = target / target.sum(dim=1, keepdim=True)
    # Padding has -inf: it must be replaced before it meets its target of 0, since 0 * -inf is NaN.
    return -(target * log_share.masked_fill(~mask, 0.0)).sum(dim=1).mean()


def binary_cross_entropy(scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    r"""Logistic loss of every candidate by itself.

    :math:`-\frac{1}{n} \sum_j y_j \log \sigma(s_j) + (1 - y_j) \log(1 - \sigma(s_j))` over a query's n candidates
    (Nogueira and Cho 2019, "Passage Re-ranking with BERT", eq. 1).

    Args:
        scores: Logits. **Shape:** (queries, candidates).
        labels: Probability of relevance, 1 or 0. **Shape:** as ``scores``.
        mask: False for padding. **Shape:** as ``scores``, boolean.

    Returns:
        Scalar.

    >>> import torch
    >>> scores, labels = torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    >>> round(float(binary_cross_entropy(scores, labels, torch.ones(1, 2, dtype=torch.bool))), 4)
    0.6931
    """
    loss = functional.binary_cross_entropy_with_logits(scores.float(), labels.float(), reduction="none")
    return ((loss * mask).sum(dim=1) / mask.sum(dim=1)).mean()


def mse(scores: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    r"""Squared error of every score by itself: regression on the teacher.

    :math:`\frac{1}{n} \sum_j (s_j - t_j)^2` over a query's n candidates: how zELO trains its reranker (arXiv
    2509.12541). For a bi-encoder it is the weakest of these losses.

    Args:
        scores: The student's logits. **Shape:** (queries, candidates).
        teacher: The teacher's logits, on the scale that the student is to have. **Shape:** as ``scores``.
        mask: True where both are numbers. **Shape:** as ``scores``, boolean.

    Returns:
        Scalar.

    >>> import torch
    >>> scores, teacher = torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 1.0]])
    >>> float(mse(scores, teacher, torch.ones(1, 2, dtype=torch.bool)))
    2.5
    """
    error = _difference(scores, teacher, mask) ** 2
    return _mean((error * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1), mask.sum(dim=1) > 0)


def margin_mse(scores: Tensor, teacher: Tensor, mask: Tensor, positive: Tensor | None = None) -> Tensor:
    r"""Squared error of the margins between one candidate and the others.

    :math:`\frac{1}{n-1} \sum_{j \ne p} ((s_p - s_j) - (t_p - t_j))^2` (Margin-MSE: Hofstätter et al. 2020,
    arXiv 2010.02666), with several negatives instead of one.

    Args:
        scores: The student's logits. **Shape:** (queries, candidates).
        teacher: The teacher's logits, on the scale that the student is to have. **Shape:** as ``scores``.
        mask: True where both are numbers. **Shape:** as ``scores``, boolean.
        positive: Column of the candidate p; None: the teacher's best. **Shape:** (queries,).

    Returns:
        Scalar.

    >>> import torch
    >>> scores, teacher = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[4.0, 1.0, 2.0]])
    >>> float(margin_mse(scores, teacher, torch.ones(1, 3, dtype=torch.bool)))
    2.5
    """
    if positive is None:
        positive = torch.where(mask, teacher, -torch.inf).argmax(dim=1)
    column = positive.unsqueeze(1)
    error = _difference(scores, teacher, mask)
    others = mask & mask.gather(1, column)
    others = others.scatter(1, column, False)
    margins = (error.gather(1, column) - error) ** 2 * others
    return _mean(margins.sum(dim=1) / others.sum(dim=1).clamp(min=1), others.any(dim=1))


def kl_divergence(
    scores: Tensor,
    teacher: Tensor,
    mask: Tensor,
    *,
    student_temperature: float = 1.0,
    teacher_temperature: float = 1.0,
) -> Tensor:
    r"""Kullback-Leibler divergence of the student's distribution over a query's candidates from the teacher's.

    :math:`\sum_j p_j (\log p_j - \log q_j)` with :math:`p = \mathrm{softmax}(t / T_t)` and
    :math:`q = \mathrm{softmax}(s / T_s)` (Lin et al. 2020, arXiv 2010.11386, over a candidate list). There is no
    factor :math:`T_s^2`: with a learned scale no temperature is far from 1.

    Args:
        scores: The student's logits. **Shape:** (queries, candidates).
        teacher: The teacher's logits. **Shape:** as ``scores``.
        mask: True where both are numbers. **Shape:** as ``scores``, boolean.
        student_temperature: Divides the student's logits.
        teacher_temperature: Divides the teacher's logits.

    Returns:
        Scalar.

    >>> import torch
    >>> scores, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    >>> float(kl_divergence(scores, teacher, torch.ones(1, 2, dtype=torch.bool)))
    0.0
    """
    student = functional.log_softmax((scores.float() / student_temperature).masked_fill(~mask, _NONE), dim=1)
    target = functional.log_softmax((teacher.float() / teacher_temperature).masked_fill(~mask, _NONE), dim=1)
    terms = target.exp() * (target - student) * mask
    return _mean(terms.sum(dim=1), mask.sum(dim=1) > 1)


def contrastive(scores: Tensor, positives: Tensor, mask: Tensor) -> Tensor:
    r"""In-batch contrastive loss: a query's positive against every other document of the batch.

    :math:`-\log \frac{\exp s_p}{\exp s_p + \sum_{n \in N} \exp s_n}`, mean over a query's positives p (InfoNCE: van den
    Oord et al. 2018, arXiv 1807.03748, eq. 4; in batch: Karpukhin et al. 2020, arXiv 2004.04906, eq. 2).

    Args:
        scores: The student's logits of every document of the batch. **Shape:** (queries, documents).
        positives: True for the query's own. **Shape:** as ``scores``, boolean.
        mask: True for the documents that may count as negatives; see `keep_negatives`. **Shape:** as ``scores``.

    Returns:
        Scalar.

    >>> import torch
    >>> positives = torch.tensor([[True, False]])
    >>> round(float(contrastive(torch.zeros(1, 2), positives, torch.ones(1, 2, dtype=torch.bool))), 4)
    0.6931
    """
    scores = scores.float()
    negatives = scores.masked_fill(positives | ~mask, _NONE).logsumexp(dim=1, keepdim=True)
    terms = functional.softplus(negatives - scores) * positives
    return _mean(terms.sum(dim=1) / positives.sum(dim=1).clamp(min=1), positives.any(dim=1))


def keep_negatives(guide: Tensor, positives: Tensor, mask: Tensor, share: float = 0.95) -> Tensor:
    r"""Documents that score clearly less than the positive: what isn't kept may be an unjudged answer.

    A document stays where its score is below :math:`low + share \cdot (p - low)`, p being the best positive's score and
    low the row's lowest: NV-Retriever's TopK-PercPos (Moreira et al. 2024, arXiv 2407.15831) for scores whose zero
    means nothing, as `bicross.distillation.sample_lists` has it. The guide is another model than the student
    (GISTEmbed: Solatorio 2024, arXiv 2402.16829).

    Args:
        guide: Scores by a model that isn't being trained. **Shape:** (queries, documents).
        positives: True for the query's own. **Shape:** as ``guide``, boolean.
        mask: True where ``guide`` is a number. **Shape:** as ``guide``, boolean.
        share: From 0 to 1.

    Returns:
        True for what may be used as a negative; nothing in a row without a positive. **Shape:** as ``guide``, boolean.

    >>> import torch
    >>> guide, positives = torch.tensor([[0.8, 0.7, 0.79, 0.0]]), torch.tensor([[True, False, False, False]])
    >>> keep_negatives(guide, positives, torch.ones(1, 4, dtype=torch.bool)).tolist()
    [[False, True, False, True]]
    """
    best = torch.where(positives & mask, guide, -torch.inf).amax(dim=1, keepdim=True)
    low = torch.where(mask, guide, torch.inf).amin(dim=1, keepdim=True)
    return (guide < low + share * (best - low)) & mask & ~positives


def _difference(scores: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Student less teacher, 0 where there is no candidate. NaN must be replaced before it meets the mask's 0."""
    return scores.float() - torch.where(mask, teacher.float(), scores.detach().float())


def _mean(by_query: Tensor, counts: Tensor) -> Tensor:
    return (by_query * counts).sum() / counts.sum().clamp(min=1)
