"""Losses as functions of a score matrix: one row per query, one column per candidate.

**Shape:** everywhere (queries, candidates), the scores as raw logits. ``mask`` is True where there is a candidate:
queries with fewer candidates than the widest are padded. Every function returns the mean over the queries, a scalar.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


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
