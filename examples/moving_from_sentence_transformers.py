"""Moving from Haystack's sentence-transformers nodes to ours: the lines that change, and what stays."""

import difflib
from tempfile import TemporaryDirectory

from haystack import Document
from haystack.document_stores.in_memory import InMemoryDocumentStore

from bicross import BiEncoder
from haystack_integrations.components.embedders.bicross import BicrossDocumentEmbedder

BEFORE = """\
from haystack_integrations.components.embedders.sentence_transformers import SentenceTransformersDocumentEmbedder
embedder = SentenceTransformersDocumentEmbedder(model=folder, prefix="", batch_size=32, progress_bar=False)
embedder.warm_up()
"""
AFTER = """\
from haystack_integrations.components.embedders.bicross import BicrossDocumentEmbedder
embedder = BicrossDocumentEmbedder(model=folder, prefix="", batch_size=32, progress_bar=False)
"""
for line in list(difflib.unified_diff(BEFORE.splitlines(), AFTER.splitlines(), lineterm="", n=0))[3:]:
    print(line.split("(")[0])

with TemporaryDirectory() as parent:
    with BiEncoder.load() as model:
        folder = str(model.save(f"{parent}/model"))
    embedder = BicrossDocumentEmbedder(model=folder, prefix="", batch_size=32, progress_bar=False)
    result = embedder.run([Document(content="A letter"), Document(content="A parcel"), Document()])
    stays = InMemoryDocumentStore()
    print("written:", stays.write_documents(result["documents"]))
    print("new in the output:", {name: result["meta"][name] for name in ("embedded", "truncated", "skipped")})
    embedder.close()

# -from haystack_integrations.components.embedders.sentence_transformers import SentenceTransformersDocumentEmbedder
# -embedder = SentenceTransformersDocumentEmbedder
# -embedder.warm_up
# +from haystack_integrations.components.embedders.bicross import BicrossDocumentEmbedder
# +embedder = BicrossDocumentEmbedder
# written: 3
# new in the output: {'embedded': 2, 'truncated': 0, 'skipped': 1}
