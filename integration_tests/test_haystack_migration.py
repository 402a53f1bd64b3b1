"""Every parameter of the peers' nodes has its place in the guide's migration tables."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from haystack import Document
from haystack_integrations.components.embedders.sentence_transformers import (
    SentenceTransformersDocumentEmbedder,
    SentenceTransformersTextEmbedder,
)
from haystack_integrations.components.rankers.sentence_transformers import SentenceTransformersSimilarityRanker
from haystack_integrations.components.retrievers.qdrant import QdrantEmbeddingRetriever
from haystack_integrations.document_stores.qdrant import QdrantDocumentStore

from haystack_integrations.components.embedders.bicross import BicrossDocumentEmbedder, BicrossTextEmbedder
from haystack_integrations.components.rankers.bicross import BicrossRanker
from haystack_integrations.components.retrievers.bicross import BicrossEmbeddingRetriever
from haystack_integrations.document_stores.bicross import BicrossDocumentStore
from tiny_models import write_bi_encoder, write_cross_encoder

GUIDE = Path(__file__).parents[1] / "docs" / "haystack.md"
PEERS = {
    SentenceTransformersTextEmbedder: BicrossTextEmbedder,
    SentenceTransformersDocumentEmbedder: BicrossDocumentEmbedder,
    SentenceTransformersSimilarityRanker: BicrossRanker,
    QdrantDocumentStore: BicrossDocumentStore,
    QdrantEmbeddingRetriever: BicrossEmbeddingRetriever,
}


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.__name__)
def test_every_parameter_is_supported_or_has_its_replacement_named(peer: type) -> None:
    sections = re.split(r"^### ", GUIDE.read_text(encoding="utf-8").split("## Moving here")[1], flags=re.MULTILINE)
    (section,) = [text for text in sections if f"`{peer.__name__}`" in text.splitlines()[0]]
    table = re.findall(r"^\| (.+?) \| (.+?) \|$", section, flags=re.MULTILINE)
    replacement = {name: here for there, here in table for name in re.findall(r"`(\w+)`", there)}
    ours = inspect.signature(PEERS[peer].__init__).parameters
    for name in list(inspect.signature(peer.__init__).parameters)[1:]:
        assert name in replacement, f"{name} is in no table"
        if replacement[name] == "the same":
            assert name in ours, name


def test_vectors_and_scores_are_the_peers(tmp_path: Path) -> None:
    bi, cross = str(write_bi_encoder(tmp_path / "bi")), str(write_cross_encoder(tmp_path / "cross"))
    documents = [Document(content=f"the {name} sits", meta={"title": "red"}) for name in ("cat", "dog", "bird")]
    options = {"meta_fields_to_embed": ["title"], "embedding_separator": " ", "suffix": " .", "prefix": "old "}
    theirs = SentenceTransformersDocumentEmbedder(model=bi, progress_bar=False, **options)
    ours = BicrossDocumentEmbedder(model=bi, progress_bar=False, **options)
    theirs.warm_up()
    for left, right in zip(theirs.run(documents)["documents"], ours.run(documents)["documents"], strict=True):
        assert right.embedding == pytest.approx(left.embedding, abs=1e-5)
    for scale in (True, False):
        ranked = {"meta_fields_to_embed": ["title"], "query_prefix": "the ", "scale_score": scale, "top_k": 2}
        their_ranker = SentenceTransformersSimilarityRanker(model=cross, **ranked)
        their_ranker.warm_up()
        expected = their_ranker.run(query="cat", documents=documents)["documents"]
        found = BicrossRanker(cross, **ranked).run(query="cat", documents=documents)["documents"]
        assert [document.id for document in found] == [document.id for document in expected]
        assert [d.score for d in found] == pytest.approx([d.score for d in expected], abs=1e-4)
