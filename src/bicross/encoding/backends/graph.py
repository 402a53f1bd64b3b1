"""Models behind a graph: what onnxruntime and OpenVINO compute, pooled and projected in numpy."""

from __future__ import annotations

import sys
import threading

import numpy as np

from bicross.encoding.backends import numeric
from bicross.encoding.backends.graphs import Graph
from bicross.encoding.backends.protocol import Runner, Tokens
from bicross.encoding.specs import DenseSpec, PoolingSpec, StaticSpec, TowerSpec
from bicross.encoding.static import static_table
from bicross.types import Floats


class _GraphModel:
    """A graph, loaded when the first text arrives."""

    device = "cpu"

    def __init__(self, graph: Graph, threads: int) -> None:
        self.backend, self.precision = graph.choice
        self.positions = graph.positions
        self._graph = graph
        self._threads = threads
        self._loaded: Runner | None = None
        self._lock = threading.Lock()

    @property
    def _runner(self) -> Runner:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._graph.runner(self._threads)
            return self._loaded

    def padded(self, length: int) -> int:
        """The length that a batch with this longest row is padded to. **Unit:** tokens."""
        padded = self._runner.padded(length)
        return padded if self.positions is None else min(padded, self.positions)

    def room(self, longest: int) -> int:
        """See `Model.room`: no limit on a CPU."""
        del longest
        return sys.maxsize


class GraphTower(_GraphModel):
    """Token ids in, vectors out.

    Args:
        spec: The tower's modules.
        graph: Its transformer.
        threads: How many threads one call computes with.
    """

    def __init__(self, spec: TowerSpec, graph: Graph, *, threads: int) -> None:
        super().__init__(graph, threads)
        self._pooling = spec.pooling or PoolingSpec()
        self._heads = [numeric.head(head) for head in spec.heads]
        self.dimension = dimension(spec, int(graph.record["width"]))

    def vectors(self, ids: Tokens, mask: Tokens, prompt_length: int = 0) -> Floats:
        """Vectors of a padded batch. **Shape:** ids, mask (batch, length) → (batch, dimension)."""
        return self.pooled(self.states(ids, mask), mask, prompt_length)

    def states(self, ids: Tokens, mask: Tokens) -> Floats:
        """The tokens' vectors. **Shape:** ids, mask (batch, length) → (batch, length, width)."""
        return self._runner.run(ids, mask, None)

    def pooled(self, states: Floats, mask: Tokens, prompt_length: int = 0) -> Floats:
        """A batch's vectors from its tokens'. **Shape:** (batch, length, width) → (batch, dimension)."""
        vector = numeric.pool(states, mask, self._pooling.modes, 0 if self._pooling.include_prompt else prompt_length)
        for head in self._heads:
            vector = head(vector)
        return vector


class GraphClassifier(_GraphModel):
    """Token ids of pairs in, logits out."""

    def __init__(self, graph: Graph, *, threads: int) -> None:
        super().__init__(graph, threads)
        self.labels = int(graph.record["labels"])

    def logits(self, ids: Tokens, mask: Tokens, types: Tokens | None) -> Floats:
        """Logits of a padded batch of pairs. **Shape:** ids, mask, types (batch, length) → (batch, labels)."""
        return self._runner.run(ids, mask, types)


class StaticTower:
    """A table of token vectors in numpy: nothing to gain from a graph, and nothing to import."""

    backend, device, precision = "numpy", "cpu", "float32"
    positions: int | None = None

    def __init__(self, spec: TowerSpec) -> None:
        self._table = static_table(spec.encoder.folder)
        self._heads = [numeric.head(head) for head in spec.heads]
        self.dimension = dimension(spec, self._table.shape[1])

    def padded(self, length: int) -> int:
        """No more than the longest row."""
        return length

    def room(self, longest: int) -> int:
        """See `Model.room`: no limit on a CPU."""
        del longest
        return sys.maxsize

    def vectors(self, ids: Tokens, mask: Tokens, prompt_length: int = 0) -> Floats:
        """Vectors of a padded batch. **Shape:** ids, mask (batch, length) → (batch, dimension)."""
        return self.pooled(self.states(ids, mask), mask, prompt_length)

    def states(self, ids: Tokens, mask: Tokens) -> Floats:
        """The tokens' vectors. **Shape:** ids, mask (batch, length) → (batch, length, width)."""
        del mask
        return np.asarray(self._table[ids])

    def pooled(self, states: Floats, mask: Tokens, prompt_length: int = 0) -> Floats:
        """A batch's vectors from its tokens'. **Shape:** (batch, length, width) → (batch, dimension)."""
        del prompt_length  # a table has no pooling module that could leave the prompt out
        weights = mask.astype(np.float32)
        total = np.matmul(weights[:, None, :], states)[:, 0]
        vector: Floats = total / np.maximum(weights.sum(axis=1, keepdims=True), np.float32(1))
        for head in self._heads:
            vector = head(vector)
        return vector


def dimension(spec: TowerSpec, width: int) -> int:
    """Length of a tower's vectors, from the width of a token's."""
    dense = [head for head in spec.heads if isinstance(head, DenseSpec)]
    if dense:
        return dense[-1].out_features
    return width if isinstance(spec.encoder, StaticSpec) else width * len((spec.pooling or PoolingSpec()).modes)
