"""Sparse vectors equal to sentence-transformers' for the same checkpoint; BM25 as good as bm25s' on the same texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bicross.sparse import BM25Encoder, SpladeEncoder
from bicross.sparse.exact import SparseIndex
from tiny_models import write_inference_free_splade, write_masked_lm, write_splade

pytestmark = pytest.mark.filterwarnings("default", "ignore::bicross.errors.BicrossWarning")
TEXTS = [
    "the cat sits on the old house",
    "a bird",
    "",
    "not every red fish sleeps under water near the big green city, no river and no train",
    "stone " * 20,
]


@pytest.mark.parametrize("kind", ["plain", "max", "sum", "log1p_relu", "router", "saved"])
def test_sparse_vectors_are_those_of_sentence_transformers(tmp_path: Path, kind: str) -> None:
    from sentence_transformers import SparseEncoder

    folder = tmp_path / "model"
    if kind == "plain":
        write_masked_lm(folder)
    elif kind == "router":
        write_inference_free_splade(folder)
    elif kind == "log1p_relu":
        write_splade(folder, activation=kind, prompts={"query": "find ", "document": "read "})
    else:
        write_splade(folder, pooling="sum" if kind == "sum" else "max")
    peer = SparseEncoder(str(folder), device="cpu")
    if kind == "saved":  # as this version writes it
        folder = tmp_path / "saved"
        peer.save_pretrained(str(folder))
    with SpladeEncoder.load(folder, device="cpu") as ours:
        for mine, theirs in ((ours.encode_query, peer.encode_query), (ours.encode_document, peer.encode_document)):
            for vector, expected in zip(mine(TEXTS), theirs(TEXTS).to_dense().numpy(), strict=True):
                dense = np.zeros(len(expected), np.float32)
                dense[vector.indices] = vector.values
                assert np.abs(dense - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())


def test_only_as_many_terms_are_kept_as_sentence_transformers_keeps(tmp_path: Path) -> None:
    from sentence_transformers import SparseEncoder

    folder = write_splade(tmp_path / "model")
    expected = SparseEncoder(str(folder), device="cpu").encode_document(TEXTS, max_active_dims=7).to_dense().numpy()
    with SpladeEncoder.load(folder, device="cpu", max_terms=7) as ours:
        for vector, row in zip(ours.encode_document(TEXTS), expected, strict=True):
            assert vector.indices.tolist() == np.flatnonzero(row).tolist()


@pytest.mark.parametrize(("language", "algorithm"), [("en", "english"), ("de", "german")])
def test_scores_are_those_of_bm25s_over_the_same_words(language: str, algorithm: str) -> None:
    import bm25s
    import Stemmer

    documents = [
        f"{adjective} {noun}s were {verb} over the {place}"
        for adjective in ("quick", "lazy", "schöne", "grüne")
        for noun in ("fox", "hund", "river", "häuser")
        for verb in ("running", "jumped", "gelaufen")
        for place in ("hills", "hills and more hills", "stadt")
    ]
    queries = ["fox running hills hills", "grünen Häusern", "lazy river", "unknown words"]
    words = {"stopwords": "en" if language == "en" else [], "stemmer": Stemmer.Stemmer(algorithm)}
    peer = bm25s.BM25(k1=1.5, b=0.75, method="lucene")
    peer.index(bm25s.tokenize(documents, show_progress=False, **words), show_progress=False)
    encoder = BM25Encoder(language)
    encoder = encoder.with_mean_length(encoder.measure(documents))
    index = SparseIndex(encoder.encode_document(documents), idf=True)
    tokens = bm25s.tokenize(queries, show_progress=False, return_ids=False, **words)
    for query, split in zip(queries, tokens, strict=True):
        positions, scores = index.search(encoder.encode_query(query), len(documents))
        ours = np.zeros(len(documents))
        ours[positions] = scores
        # bm25s leaves out the constant factor k1 + 1, as Lucene does.
        theirs = peer.get_scores(split) if split else np.zeros(len(documents))
        assert ours == pytest.approx(2.5 * theirs, rel=1e-5, abs=1e-5)
