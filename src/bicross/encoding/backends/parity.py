"""How far a graph's output is from torch's, on sample texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bicross.encoding import hardware
from bicross.encoding.backends.choosing import Choice
from bicross.encoding.backends.graph import GraphClassifier, GraphTower
from bicross.encoding.backends.graphs import Graph
from bicross.encoding.backends.protocol import ClassifierModel, TowerModel
from bicross.encoding.backends.torch import TorchClassifier, TorchTower
from bicross.encoding.backends.torch_options import TorchOptions
from bicross.encoding.batching import pad, plan_batches
from bicross.encoding.locate import Kind
from bicross.encoding.specs import ScorerSpec, TowerSpec, TransformerSpec
from bicross.encoding.tokenizer import TextTokenizer
from bicross.errors import CheckpointError
from bicross.types import Floats

LEAST_COSINE = {"float32": 0.99999, "bfloat16": 0.999, "int8": 0.95}
"""Of every sample's vector with torch's float32 vector."""
MOST_DEVIATION = {"float32": 0.002, "bfloat16": 0.15, "int8": 0.5}
"""Of any sample's logit from torch's float32 logit. **Unit:** standard deviations of the samples' logits."""
_WORDS = (  # noqa: SIM905
    "the river bends north of the old mill , where water was measured every spring . a recipe asks for flour , two "
    "eggs and patience . patients with high blood pressure were given the drug or a placebo for twelve weeks . open "
    "the file , read each line and count the words . when was the bridge built ? it was not built before 1 9 0 4 . "
    "Zürich naïve straße 東京 Москва def main ( ) : return None"
).split()
_LENGTHS = (0, 1, 2, 3, 5, 8, 9, 14, 17, 30, 40, 63, 64, 90, 120, 200, 400)
_BUDGET = 512


@dataclass(frozen=True)
class Parity:
    """What was compared, and the worst of it."""

    values: Mapping[str, float | int | str]

    def check(self, choice: Choice, folder: Path) -> None:
        """Refuse a graph that doesn't compute what torch computes.

        Raises:
            CheckpointError: It doesn't.
        """
        cosine, deviation = self.values.get("worst_cosine"), self.values.get("worst_deviation")
        sound = (cosine is None or float(cosine) >= LEAST_COSINE[choice.precision]) and (
            deviation is None or float(deviation) <= MOST_DEVIATION[choice.precision]
        )
        if not sound:
            rule = (
                f"a cosine of at least {LEAST_COSINE[choice.precision]} with"
                if deviation is None
                else f"logits within {MOST_DEVIATION[choice.precision]} standard deviations of"
            )
            raise CheckpointError(
                f"An exported graph must have {rule} torch's float32, got {self} for {str(folder)!r} on "
                f"{choice.backend} in {choice.precision}. Use backend='torch'."
            )

    def __str__(self) -> str:
        return ", ".join(
            f"{name.replace('_', ' ')} {value:.6g}" for name, value in self.values.items() if name != "cpu"
        )


def measure(kind: Kind, spec: TowerSpec, graph: Graph, trust_remote_code: bool) -> Parity:
    """Compare a graph with torch in float32."""
    encoder = spec.encoder
    assert isinstance(encoder, TransformerSpec)
    tokenizer = graph.tokenizer(encoder)
    contents = tokenizer.ids([" ".join(_WORDS[i % len(_WORDS)] for i in range(count)) for count in _LENGTHS])
    threads, options = hardware.usable_cores(), TorchOptions(trust_remote_code=trust_remote_code)
    if kind == "bi-encoder":
        rows = [tokenizer.frame_single(ids)[0] for ids in contents]
        reference = TorchTower(spec, options)
        expected = _vectors(reference, tokenizer, rows)
        ours = _vectors(GraphTower(spec, graph, threads=threads), tokenizer, rows)
        return Parity({"samples": len(rows), "worst_cosine": _worst_cosine(ours, expected)})
    pairs = [tokenizer.frame_pair(contents[5 + i % 3], ids) for i, ids in enumerate(contents)]
    classifier = TorchClassifier(ScorerSpec(encoder), options)
    expected = _logits(classifier, tokenizer, pairs)
    ours = _logits(GraphClassifier(graph, threads=threads), tokenizer, pairs)
    spread = max(float(expected.std()), 1e-2)
    return Parity({"samples": len(pairs), "worst_deviation": float(np.abs(ours - expected).max()) / spread})


def _vectors(model: TowerModel, tokenizer: TextTokenizer, rows: list) -> Floats:  # type: ignore[type-arg]
    vectors = np.empty((len(rows), model.dimension), dtype=np.float32)
    for batch in plan_batches([len(row) for row in rows], _BUDGET):
        ids, mask = pad([rows[i] for i in batch], tokenizer.pad_id)
        vectors[batch] = model.vectors(ids, mask)
    return vectors


def _logits(model: ClassifierModel, tokenizer: TextTokenizer, pairs: list) -> Floats:  # type: ignore[type-arg]
    logits = np.empty((len(pairs), model.labels), dtype=np.float32)
    for batch in plan_batches([len(ids) for ids, _, _ in pairs], _BUDGET):
        ids, mask = pad([pairs[i][0] for i in batch], tokenizer.pad_id)
        types = pad([pairs[i][1] for i in batch], 0)[0] if tokenizer.type_ids else None
        logits[batch] = model.logits(ids, mask, types)
    return logits


def _worst_cosine(ours: Floats, expected: Floats) -> float:
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(expected, axis=1)
    cosines = (ours.astype(np.float64) * expected).sum(axis=1) / np.maximum(norms, 1e-12)
    return float(cosines.min()) if np.isfinite(cosines).all() else -1.0
