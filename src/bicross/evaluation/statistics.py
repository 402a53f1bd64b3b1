"""How sure a mean is, and whether two runs differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bicross.errors import InputError

_RESAMPLES = 9_999
_AT_ONCE = 2**21


@dataclass(frozen=True, slots=True)
class PairedTest:
    """Two runs over the same queries.

    Attributes:
        difference: Mean of b − a.
        interval: Of the difference, by the bootstrap over queries.
        p_value: Two-sided, of the randomisation test: the share of random sign flips of the differences whose mean is
            at least as far from 0.
        better, worse: Queries where b is above a, and below it.
        test: Names the test.
    """

    difference: float
    interval: tuple[float, float]
    p_value: float
    better: int
    worse: int
    test: str = "paired randomisation test"


def bootstrap_interval(values: npt.ArrayLike, *, seed: int = 0, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of the mean by the percentile bootstrap (Efron 1979) over ``values``.

    It is a single point where there is one value, or all are equal: the bootstrap can't tell what it hasn't seen.

    Args:
        values: One number for each query. **Shape:** (n,).
        seed: Of the resampling.
        confidence: Share of the resamples that the interval covers.

    Raises:
        InputError: There are no values.

    >>> bootstrap_interval([0.5, 0.5, 0.5])
    (0.5, 0.5)
    """
    sample = _numbers(values)
    if sample.min() == sample.max():
        return float(sample[0]), float(sample[0])
    from scipy.stats import bootstrap  # type: ignore[import-untyped]

    found = bootstrap(
        (sample,),
        np.mean,
        vectorized=True,
        method="percentile",
        confidence_level=confidence,
        n_resamples=_RESAMPLES,
        batch=max(_AT_ONCE // len(sample), 1),
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def paired_test(a: npt.ArrayLike, b: npt.ArrayLike, *, seed: int = 0) -> PairedTest:
    """Compare two runs query by query: Fisher's randomisation test, as Smucker, Allan and Carterette (2007) advise.

    Args:
        a: The run to compare with, one number for each query. **Shape:** (n,).
        b: The other, for the same queries in the same order. **Shape:** (n,).
        seed: Of the resampling.

    Raises:
        InputError: There are no values, or not the same number of them.

    >>> paired_test([0.1, 0.2], [0.1, 0.2]).p_value
    1.0
    """
    first, second = _numbers(a), _numbers(b)
    if len(first) != len(second):
        raise InputError(f"A paired test needs the same queries twice, got {len(first)} and {len(second)} values.")
    difference = second - first
    rng = np.random.default_rng(seed)
    observed, extreme, done = abs(difference.sum()), 0, 0
    # Sums that are equal but for rounding count as equal.
    least = observed - 1e-9 * max(np.abs(difference).sum(), 1e-300)
    while done < _RESAMPLES:
        count = min(max(_AT_ONCE // len(difference), 1), _RESAMPLES - done)
        signs = rng.integers(0, 2, size=(count, len(difference)), dtype=np.int8) * 2 - 1
        extreme += int(np.count_nonzero(np.abs(signs @ difference) >= least))
        done += count
    return PairedTest(
        difference=float(difference.mean()),
        interval=bootstrap_interval(difference, seed=seed),
        p_value=(extreme + 1) / (_RESAMPLES + 1),
        better=int(np.count_nonzero(difference > 0)),
        worse=int(np.count_nonzero(difference < 0)),
    )


def _numbers(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or len(sample) == 0:
        raise InputError(f"Statistics need a list of at least one number, got an array of shape {sample.shape}.")
    return sample
