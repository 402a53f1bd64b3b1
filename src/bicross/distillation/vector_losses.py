"""Losses on vectors, and the learned step from a cosine to a teacher's logit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from bicross.errors import ConfigurationError

SMALLEST, LARGEST = 5.0, 100.0
"""Between these a learned scale of cosines is kept."""


class TeacherScale(nn.Module):
    r"""A learned scale and offset for every teacher: :math:`s = \gamma_k \cos(q, d) + b_k`.

    The cosines of unit vectors differ by 2 at most, a cross-encoder's logits by 5 to 20: without a scale no student can
    have its teacher's distribution or margins. A scale by each teacher lets several with different units train one
    student. (CLIP, Radford et al. 2021, arXiv 2103.00020, learns the logarithm of such a scale.) Losses on labels have
    scales of their own: they want similarities far apart that a teacher wants as near as its scores are.

    Args:
        teachers: How many there are.
        initial: First scale, of all or of each; see `first_scale`.
        bounds: Smallest and largest scale.
        offsets: First offset of each; None: 0. Regression needs one near the mean of what is learned: the steps of a
            training don't lead to one that is hundreds away. Losses that compare a query's candidates don't see it.
    """

    def __init__(
        self,
        teachers: int = 1,
        *,
        initial: float | Sequence[float] = 20.0,
        bounds: tuple[float, float] = (SMALLEST, LARGEST),
        offsets: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.bounds = bounds
        self.log_scale = nn.Parameter(torch.tensor(initial, dtype=torch.float32).expand(teachers).log())
        self.offset = nn.Parameter(
            torch.zeros(teachers) if offsets is None else torch.tensor(offsets, dtype=torch.float32)
        )

    @classmethod
    def usual(cls, sets: int, *, cosine: bool) -> TeacherScale:
        """What labels are learnt with: 20 for cosines (a temperature of 0.05), 1 for unbounded dot products."""
        return cls(sets) if cosine else cls(sets, initial=1.0, bounds=(1e-3, 100.0))

    @property
    def scales(self) -> Tensor:
        """The scale for every teacher. **Shape:** (teachers,)."""
        return self.log_scale.clamp(*self._log_bounds).exp()

    @property
    def _log_bounds(self) -> tuple[float, float]:
        return math.log(self.bounds[0]), math.log(self.bounds[1])

    def forward(self, similarities: Tensor, teacher: Tensor) -> Tensor:
        """Similarities as logits.

        Args:
            similarities: **Unit:** cosine or dot product. **Shape:** (queries, candidates).
            teacher: Which teacher scored each query's candidates. **Shape:** (queries,), integers.

        Returns:
            **Unit:** logit. **Shape:** as ``similarities``.
        """
        # Beyond a bound it would have no gradient, and stay there for ever. (Through ``data``, since a batch whose
        # vectors are taken at several lengths comes here several times before its gradients.)
        self.log_scale.data.clamp_(*self._log_bounds)
        return self.scales[teacher].unsqueeze(1) * similarities + self.offset[teacher].unsqueeze(1)


def vector_matching(vectors: Tensor, targets: Tensor, projection: nn.Module | None = None) -> Tensor:
    r"""Squared distance between a student's unit vectors and those of a larger bi-encoder.

    :math:`\frac{1}{n} \sum_i \lVert \overline{P v_i} - \overline{u_i} \rVert^2`, the bar for unit length:
    2 − 2 cos. What EmbedDistill (Kim et al. 2023, arXiv 2301.12005, eq. 7) and LEAF (arXiv 2509.12539)
    minimise, squared.

    Args:
        vectors: The student's. **Shape:** (texts, dimension).
        targets: The other's. **Shape:** (texts, other dimension).
        projection: From the student's dimension to the other's; None where they are equal.

    Returns:
        Scalar; 0 where there are no texts.

    Raises:
        ConfigurationError: The dimensions differ.

    >>> import torch
    >>> float(vector_matching(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])))
    2.0
    """
    projected = vectors if projection is None else projection(vectors)
    if projected.shape[1] != targets.shape[1]:
        raise ConfigurationError(
            f"Vectors that are matched need one dimension; got {projected.shape[1]} for the student and "
            f"{targets.shape[1]} for its model. Pass a projection."
        )
    difference = functional.normalize(projected.float(), dim=1) - functional.normalize(targets.float(), dim=1)
    return (difference**2).sum() / max(len(difference), 1)


def matryoshka(
    loss: Callable[..., Tensor],
    vectors: Sequence[Tensor],
    dimensions: Sequence[int],
    weights: Sequence[float] | None = None,
    *,
    normalize: bool = True,
) -> Tensor:
    r"""A loss at several lengths of the vectors, so that their first numbers serve as shorter vectors.

    :math:`\sum_k w_k L(\overline{v_{1:k}}, …)` (Kusupati et al. 2022, arXiv 2205.13147, eq. 1), cut and then
    normalised where ``normalize`` says so, as `encode_query(..., truncate_dim=k, normalize=...)` does.

    Args:
        loss: Takes the cut vectors, as many as there are in ``vectors``.
        vectors: **Shape:** each (texts, dimension).
        dimensions: The lengths.
        weights: One for each length; by default 1.
        normalize: Whether a cut vector gets unit length; False where texts are compared by dot product.

    Returns:
        Scalar.
    """
    chosen = [1.0] * len(dimensions) if weights is None else weights

    def cut(vector: Tensor, length: int) -> Tensor:
        return functional.normalize(vector[:, :length], dim=1) if normalize else vector[:, :length]

    return torch.stack(
        [
            weight * loss(*(cut(vector, length) for vector in vectors))
            for length, weight in zip(dimensions, chosen, strict=True)
        ]
    ).sum()


def weighted_sum(losses: Mapping[str, Callable[[], Tensor]], weights: Mapping[str, float]) -> Tensor:
    """The sum of losses by their weights; what weighs 0 isn't computed.

    Args:
        losses: By name; each returns a scalar.
        weights: By name.

    >>> import torch
    >>> float(weighted_sum({"a": lambda: torch.tensor(2.0), "b": lambda: torch.tensor(3.0)}, {"a": 0.5, "b": 1.0}))
    4.0
    """
    return torch.stack([weight * losses[name]() for name, weight in weights.items() if weight]).sum()
