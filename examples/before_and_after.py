"""Before and after the swap: a Haystack pipeline, measured as it is and with both stages in place of its retriever.

Put your own pipelines in their place, and a folder in BEIR's layout in the place of the mapping.
"""

from haystack import Document, Pipeline
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
from haystack.document_stores.in_memory import InMemoryDocumentStore

from bicross.evaluation import evaluate
from haystack_integrations.components.embedders.bicross import BicrossDocumentEmbedder
from haystack_integrations.components.retrievers.bicross import BicrossRetriever
from haystack_integrations.document_stores.bicross import BicrossDocumentStore

LOST_AND_FOUND = {
    "umbrella": "A black umbrella with a wooden handle, left in the reading room.",
    "glasses": "A pair of spectacles in a brown case, found on the stairs.",
    "keys": "Three keys on a ring with a small brass fish.",
    "scarf": "A long red scarf of wool, found at the coat rack.",
    "bottle": "A steel drinking bottle with a dent, found in the gym.",
    "phone": "A mobile telephone without a cover, its screen cracked.",
}
data = {
    "name": "lost and found",
    "documents": LOST_AND_FOUND,
    "queries": {"1": "my reading glasses", "2": "cellphone with a broken display", "3": "where is my water flask?"},
    "qrels": {"1": {"glasses": 1}, "2": {"phone": 1}, "3": {"bottle": 1}},
}
documents = [Document(id=id, content=text) for id, text in LOST_AND_FOUND.items()]
plain = InMemoryDocumentStore()
plain.write_documents(documents)
store = BicrossDocumentStore(":memory:")
store.write_documents(BicrossDocumentEmbedder(progress_bar=False).run(documents)["documents"])

old, new = Pipeline(), Pipeline()
old.add_component("retriever", InMemoryBM25Retriever(plain))
new.add_component("retriever", BicrossRetriever(store))

before = evaluate(old, data, measures=["RR@10"])
after = evaluate(new, data, measures=["RR@10"], compare=before)
print(f"RR@10 {before['RR@10']:.2f} -> {after['RR@10']:.2f}")
test = after.comparison["RR@10"]
print(f"{test.better} queries better, {test.worse} worse; p = {test.p_value:.2f}: three queries prove nothing")
store.close()

# RR@10 0.08 -> 0.83
# 3 queries better, 0 worse; p = 0.25: three queries prove nothing
