"""The onnxruntime backend: a graph file in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bicross.encoding.backends.protocol import Tokens
from bicross.encoding.hardware import own_cores
from bicross.errors import CheckpointError
from bicross.types import Floats

GRAPH = "graph.onnx"
_SPINS_SINCE = (1, 26)
"""The version of onnxruntime that lets a thread spin for a set time; before, it is a million rounds."""
_SPIN = 200
"""How long a thread spins before it sleeps: longer than one operator of a short query. **Unit:** microseconds."""


def version() -> str:
    """onnxruntime's version."""
    import onnxruntime

    return str(onnxruntime.__version__)


class OnnxRunner:
    """A session of onnxruntime.

    The arena stays on: over batches of a dozen shapes it peaked lower than plain allocation (258 against 287 MB with
    MiniLM) and took 6 % less time. How its threads wait: see `_waiting`.

    Args:
        path: The graph.
        threads: How many threads one call computes with.

    Raises:
        CheckpointError: onnxruntime can't load the graph.
    """

    def __init__(self, path: Path, *, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        for name, value in _waiting(threads).items():
            options.add_session_config_entry(f"session.intra_op{name}", value)
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a dozen kinds, none of them public
            raise CheckpointError(f"onnxruntime can't load {str(path)!r}: {error}. Export it again.") from error
        self._wanted = [node.name for node in self._session.get_inputs()]

    def run(self, ids: Tokens, mask: Tokens, types: Tokens | None) -> Floats:
        """The graph's output. **Shape:** (batch, length) each → (batch, length, width) or (batch, labels)."""
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        return np.asarray(self._session.run(None, {name: inputs[name] for name in self._wanted})[0])

    def padded(self, length: int) -> int:
        """As long as the longest row: onnxruntime's kernels take every shape at the same speed."""
        return length


def _waiting(threads: int) -> dict[str, str]:
    """How threads wait for their part of the next operator: `benchmarks/spinning.py` measured it.

    Where they may use every core of the process, each but the caller's is bound to one and spins for as long as an
    operator takes, so that none must be woken in the middle of a query. A thread that isn't bound is often woken on the
    caller's own core, and would spin in its way: it sleeps.
    """
    cores = own_cores()
    if not 1 < threads == len(cores) or _release() < _SPINS_SINCE:
        return {".allow_spinning": "0"}
    bound = ";".join(str(core + 1) for core in cores[1:])  # onnxruntime counts processors from 1
    return {".allow_spinning": "1", ".spin_duration_us": str(_SPIN), "_thread_affinities": bound}


def _release() -> tuple[int, int]:
    major, minor, *_ = version().split(".")
    return int(major), int(minor)
