"""`bench`: bulk encoding, one query and the pairs of a query, with every backend and precision that is installed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, TypeVar

import numpy as np

from bicross.arguments import check_count
from bicross.benchmarking.environment import machine
from bicross.benchmarking.interleaving import Timed, interleave
from bicross.benchmarking.kinds import REFERENCE, Beside, automatic_kinds, installed_kinds, settled_device
from bicross.benchmarking.limit import arithmetic, matrix_rate
from bicross.benchmarking.report import BenchReport, Row, advise, check_auto
from bicross.bi_encoder import BiEncoder
from bicross.cross_encoder import CrossEncoder
from bicross.encoding.backends.choosing import Choice, installed
from bicross.errors import CheckpointError, InputError, MissingExtraError
from bicross.stores import QdrantStore
from bicross.types import Floats, Passage

QUERY = "what is the name of the largest river in south america ?"
"""14 tokens of MiniLM, special ones included."""
_REPEATS = 20
"""Queries a round."""
Loaded = TypeVar("Loaded", BiEncoder, CrossEncoder)
Figures = dict[str, dict[str, Any]]


def bench(
    texts: Sequence[str],
    *,
    bi: str = "starter",
    cross: str | None = "starter",
    query: str = QUERY,
    pairs: int = 100,
    rounds: int = 3,
    device: str = "auto",
    kinds: Iterable[tuple[str, str]] | None = None,
    beside: Sequence[Beside] = (),
) -> BenchReport:
    """Measure a pair of models on this machine.

    All kinds are loaded at once and take turns within every round. A kind whose graph isn't there yet is exported
    first, as on any first use.

    Args:
        texts: Passages to encode; the first are the candidates of the pairs.
        bi: A bi-encoder's folder or name.
        cross: A cross-encoder's; None: no pairs.
        query: What is asked.
        pairs: How many passages it is paired with, at most as many as there are.
        rounds: How often every kind takes its turn.
        device: "auto", "cpu" or a graphics card.
        kinds: (backend, precision); None: all that are installed. `REFERENCE`, torch's float32, is always among them.
        beside: Other libraries, timed in the same rounds.

    Raises:
        InputError: No texts.
        ConfigurationError: A number below 1, or a pair of backend and precision that doesn't exist.
    """
    if not texts:
        raise InputError("A benchmark needs at least one text, got none.")
    for name, value in (("rounds", rounds), ("pairs", pairs)):
        check_count(value, name)
    before = machine()
    device = settled_device(device)
    chosen = installed_kinds(device) if kinds is None else [Choice(*kind) for kind in kinds]
    chosen = [REFERENCE, *(kind for kind in dict.fromkeys(chosen) if kind != REFERENCE)]
    notes = _missing(chosen, device) if kinds is None else []
    settings: dict[str, Any] = {"bi_encoder": bi, "cross_encoder": cross, "device": device, "passages": len(texts)}
    settings |= {"rounds": rounds, "query": query, "pairs": min(pairs, len(texts))}
    figures: Figures = {}
    with ExitStack() as stack:
        encoders = _load(BiEncoder, bi, chosen, device, stack, notes)
        limits, store_rate = _encode(encoders, texts, query, rounds, beside, figures, settings)
    if cross is not None:
        with ExitStack() as stack:
            scorers = _load(CrossEncoder, cross, chosen, device, stack, notes)
            _score(scorers, [(query, text) for text in texts[:pairs]], rounds, beside, figures)
    names = {" ".join(kind): kind for kind in chosen}
    rows = [Row(name, *names.get(name, (None, None)), **found) for name, found in figures.items()]
    auto = check_auto(rows, automatic_kinds(device))
    return BenchReport(before, settings, rows, auto, limits, store_rate, advise(rows, auto), notes)


def _missing(chosen: Sequence[Choice], device: str) -> list[str]:
    there = {kind.backend for kind in chosen}
    absent = [name for name in ("onnx", "openvino") if name not in there and device == "cpu" and not installed(name)]
    return [f"Not installed: {name}. To compare it: pip install 'bicross[{name}]'" for name in absent]


def _load(
    kind: type[Loaded], model: str, chosen: Sequence[Choice], device: str, stack: ExitStack, notes: list[str]
) -> dict[str, Loaded]:
    """The model in every kind; one that can't be had is noted, unless it is the first, with which all are compared."""
    loaded = {}
    for choice in chosen:
        try:
            found = kind.load(model, backend=choice.backend, precision=choice.precision, device=device)
        except (CheckpointError, MissingExtraError) as error:
            if choice == chosen[0]:
                raise
            notes.append(f"Left out, {' '.join(choice)}: {error}")
            continue
        loaded[" ".join(choice)] = stack.enter_context(found)
    return loaded


def _encode(
    encoders: Mapping[str, BiEncoder],
    texts: Sequence[str],
    query: str,
    rounds: int,
    beside: Sequence[Beside],
    figures: Figures,
    settings: dict[str, Any],
) -> tuple[dict[str, float], float]:
    """Bulk encoding and one query; the limits, and passages a second into the store."""
    reference = encoders[" ".join(REFERENCE)]
    bulk: dict[str, Callable[[], Floats]] = {
        other.name: _call(other.encode, texts) for other in beside if other.encode is not None
    }
    bulk |= {name: _call(_document, encoder, texts) for name, encoder in encoders.items()}
    one = {other.name: _call(other.encode_query, query) for other in beside if other.encode_query is not None}
    one |= {name: _call(encoder.encode_query, query) for name, encoder in encoders.items()}
    encoded = interleave(bulk, rounds)
    asked = interleave(one, rounds, _REPEATS)
    vectors = encoded[" ".join(REFERENCE)].result
    seconds = _store_seconds(texts, vectors)
    work = arithmetic(reference.checkpoint.document.encoder.folder)
    limits: dict[str, float] = {}
    for name, timed in encoded.items():
        figures[name] = _bulk_figures(timed, vectors, len(texts))
        if name not in encoders:
            continue
        encoder = encoders[name]
        parts = encoder.time_parts(texts)
        figures[name]["tokens_per_second"] = sum(parts.lengths) / timed.wall()
        spent = {"tokenise": parts.tokenise, "compute": parts.compute, "pool": parts.pool, "store": seconds}
        figures[name]["shares"] = {part: value / sum(spent.values()) for part, value in spent.items()}
        if encoder is reference:
            settings["mean_tokens"] = float(np.mean(parts.lengths))
        if work is not None and encoder.precision != "int8":
            if encoder.precision not in limits:
                limits[encoder.precision] = matrix_rate(work.shapes, encoder.precision, encoder.device)
            rate = work.operations(parts.lengths) / timed.wall()
            figures[name]["limit_share"] = rate / limits[encoder.precision]
    settings["query_tokens"] = reference.time_parts([query]).lengths[0]
    for name, timed in asked.items():
        figures.setdefault(name, {}).update(
            query_p50_ms=timed.wall() * 1e3, query_p95_ms=timed.wall(95) * 1e3, query_cpu_ms=timed.cpu() * 1e3
        )
    return limits, len(texts) / seconds


def _score(
    scorers: Mapping[str, CrossEncoder],
    candidates: Sequence[tuple[str, str]],
    rounds: int,
    beside: Sequence[Beside],
    figures: Figures,
) -> None:
    work: dict[str, Callable[[], Floats]] = {
        other.name: _call(other.predict, candidates) for other in beside if other.predict is not None
    }
    work |= {name: _call(_logits, scorer, candidates) for name, scorer in scorers.items()}
    found = interleave(work, rounds)
    expected = found[" ".join(REFERENCE)].result
    for name, timed in found.items():
        figures.setdefault(name, {}).update(
            pairs_ms=timed.wall() * 1e3,
            pairs_cpu_ms=timed.cpu() * 1e3,
            worst_logit_difference=float(np.abs(timed.result - expected).max()),
            distinct_logits=len(np.unique(timed.result)),
        )


def _document(encoder: BiEncoder, texts: Sequence[str]) -> Floats:
    return encoder.encode_document(texts, show_progress=False, return_truncation=True)[0]


def _logits(scorer: CrossEncoder, pairs: Sequence[tuple[str, str]]) -> Floats:
    return scorer.predict(pairs, activation="identity", show_progress=False, return_truncation=True)[0]


def _call(function: Callable[..., Floats], *arguments: Any) -> Callable[[], Floats]:
    return lambda: function(*arguments)


def _bulk_figures(timed: Timed[Floats], reference: Floats, count: int) -> dict[str, Any]:
    norms = np.linalg.norm(timed.result, axis=1) * np.linalg.norm(reference, axis=1)
    cosines = (timed.result * reference).sum(axis=1) / np.maximum(norms, 1e-12)
    return {
        "passages_per_second": count / timed.wall(),
        "bulk_ms": timed.wall() * 1e3,
        "bulk_cpu_ms": timed.cpu() * 1e3,
        "worst_cosine": float(cosines.min()),
        "mean_cosine": float(cosines.mean()),
    }


def _store_seconds(texts: Sequence[str], vectors: Floats) -> float:
    """What an embedded Qdrant takes to acknowledge them."""
    passages = [Passage(text, id=str(i)) for i, text in enumerate(texts)]
    with tempfile.TemporaryDirectory() as folder, QdrantStore(path=folder) as store:
        store.upsert(passages[:1], vectors[:1])  # makes the collection
        started = time.perf_counter()
        store.upsert(passages, vectors)
        return time.perf_counter() - started
