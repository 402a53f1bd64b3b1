"""Haystack: a pipeline as YAML, loaded without any flag; both stages are one node in it."""

import tempfile
from pathlib import Path

from haystack import Document, Pipeline

from haystack_integrations.components.embedders.bicross import BicrossDocumentEmbedder
from haystack_integrations.document_stores.bicross import BicrossDocumentStore

YAML = """
components:
  search:
    type: haystack_integrations.components.retrievers.bicross.retriever.BicrossRetriever
    init_parameters:
      document_store:
        type: haystack_integrations.document_stores.bicross.document_store.BicrossDocumentStore
        init_parameters:
          path: STORE
      model: starter
      ranker_model: starter
      top_k: 1
      budget_ms: 2000
connections: []
"""
NOTICES = [
    Document(content="The pool is closed on Mondays for cleaning.", meta={"floor": 0}),
    Document(content="Breakfast is served from seven to ten in the winter garden.", meta={"floor": 1}),
    Document(content="The sauna may be used by guests over sixteen.", meta={"floor": 0}),
]

with tempfile.TemporaryDirectory() as folder:
    store = BicrossDocumentStore(Path(folder) / "store")
    store.write_documents(BicrossDocumentEmbedder().run(NOTICES)["documents"])
    store.close()

    pipeline = Pipeline.loads(YAML.replace("STORE", f"{folder}/store"))
    below = {"field": "meta.floor", "operator": "==", "value": 0}
    for inputs in ({"query": "When can I have breakfast?"}, {"query": "When can I swim?", "filters": below}):
        print(pipeline.run({"search": inputs})["search"]["documents"][0].content)
    print("same again when saved:", Pipeline.loads(pipeline.dumps()).dumps() == pipeline.dumps())
    pipeline.close()

# Breakfast is served from seven to ten in the winter garden.
# The pool is closed on Mondays for cleaning.
# same again when saved: True
