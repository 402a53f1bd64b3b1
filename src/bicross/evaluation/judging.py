"""nDCG@10 by judgments, of many orders of the same candidates."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bicross.evaluation.agreement import CUT, Doubles, Positions
from bicross.evaluation.datasets import Dataset
from bicross.evaluation.measures import calculate, parse_measures

_MEASURE = f"nDCG@{CUT}"


class Judge:
    """Measures orders of each query's candidates by `ir-measures`' nDCG@10 (linear gains).

    Args:
        data: Its judgments and the order of its queries and documents.
        candidates: Positions in ``data.documents``. **Shape:** (queries, candidates).

    Raises:
        MissingExtraError: ir-measures isn't installed.
    """

    def __init__(self, data: Dataset, candidates: npt.NDArray[np.int32]) -> None:
        self._ids = list(data.documents)
        self._queries = list(data.queries)
        self._qrels = {query_id: data.qrels[query_id] for query_id in self._queries}
        self._candidates = candidates
        self._measures = parse_measures([_MEASURE])

    def __call__(self, order: Positions) -> Doubles:
        """nDCG@10 of each query; 0 for one without a relevant document among its best. **Shape:** (queries,).

        Args:
            order: Columns of the candidates, best first. **Shape:** (queries, at least 10 where there are so many).
        """
        run = {
            query_id: {
                self._ids[self._candidates[row, column]]: -float(rank)
                for rank, column in enumerate(order[row, :CUT].tolist())
            }
            for row, query_id in enumerate(self._queries)
        }
        return calculate(self._measures, self._qrels, run)[_MEASURE]
