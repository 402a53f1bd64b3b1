"""Haystack: one pipeline splits, embeds and writes documents; another finds and reorders them."""

import tempfile

from haystack import Document, Pipeline
from haystack.components.writers import DocumentWriter

from haystack_integrations.components.embedders.bicross import BicrossDocumentEmbedder, BicrossTextEmbedder
from haystack_integrations.components.preprocessors.bicross import BicrossPassageSplitter
from haystack_integrations.components.rankers.bicross import BicrossRanker
from haystack_integrations.components.retrievers.bicross import BicrossEmbeddingRetriever
from haystack_integrations.document_stores.bicross import BicrossDocumentStore

TEXTS = {
    "pump": "Before a ride, the tyres are pumped up to the pressure that is written on their side.",
    "chain": "A chain that squeaks wants a drop of oil on each link; wipe off what is left over.",
    "brakes": "Brake pads are changed when their grooves are gone, usually after three thousand kilometres.",
    "lights": "Front and back lights are required from dusk till dawn, also on cycle paths.",
}

folder = tempfile.TemporaryDirectory()
store = BicrossDocumentStore(f"{folder.name}/store", collection="bicycles")

indexing = Pipeline()
indexing.add_component("splitter", BicrossPassageSplitter())
indexing.add_component("embedder", BicrossDocumentEmbedder(cache_dir=f"{folder.name}/vectors"))
indexing.add_component("writer", DocumentWriter(store))
indexing.connect("splitter", "embedder")
indexing.connect("embedder.documents", "writer.documents")

query = Pipeline()
query.add_component("embedder", BicrossTextEmbedder())
query.add_component("retriever", BicrossEmbeddingRetriever(store, top_k=4))
query.add_component("ranker", BicrossRanker(top_k=2))
query.connect("embedder.embedding", "retriever.query_embedding")
query.connect("retriever", "ranker")

documents = [Document(id=id, content=text) for id, text in TEXTS.items()]
print(indexing.run({"splitter": {"documents": documents}})["writer"])

question = "When do I need new brake pads?"
found = query.run({"embedder": {"text": question}, "ranker": {"query": question}})["ranker"]["documents"]
print(f"{len(found)} found, the best: {found[0].content}")
print("scores of both stages:", sorted(key for key in found[0].meta if key.endswith("_score")))

query.close()
indexing.close()
folder.cleanup()

# {'documents_written': 4}
# 2 found, the best: Brake pads are changed when their grooves are gone, usually after three thousand kilometres.
# scores of both stages: ['rerank_score', 'retrieval_score']
