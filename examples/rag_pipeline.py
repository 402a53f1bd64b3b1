"""Haystack: retrieval-augmented generation. The chat model is a stand-in with a fixed answer; put your own there."""

from haystack import Document, Pipeline
from haystack.components.builders import ChatPromptBuilder
from haystack.components.generators.chat import MockChatGenerator
from haystack.dataclasses import ChatMessage

from haystack_integrations.components.embedders.bicross import BicrossDocumentEmbedder
from haystack_integrations.components.retrievers.bicross import BicrossRetriever
from haystack_integrations.document_stores.bicross import BicrossDocumentStore

CONTRACT = {
    "notice": "The lease may be ended by either side with three months' notice to the end of a month.",
    "deposit": "The deposit of two months' rent is paid back within six weeks after the keys are returned.",
    "pets": "Cats are welcome; a dog needs the landlord's written consent.",
    "repairs": "Small repairs of up to eighty euros are paid by the tenant.",
}
TEMPLATE = """Answer from these clauses alone:
{% for document in documents %}[{{ document.id }}] {{ document.content }}
{% endfor %}
Question: {{ question }}"""

store = BicrossDocumentStore()
clauses = [Document(id=id, content=text) for id, text in CONTRACT.items()]
store.write_documents(BicrossDocumentEmbedder().run(clauses)["documents"])

pipeline = Pipeline()
pipeline.add_component("search", BicrossRetriever(store, top_k=1, candidates=4))
pipeline.add_component("prompt", ChatPromptBuilder([ChatMessage.from_user(TEMPLATE)], required_variables="*"))
pipeline.add_component("model", MockChatGenerator("Within six weeks [deposit]."))
pipeline.connect("search.documents", "prompt.documents")
pipeline.connect("prompt", "model")

question = "When do I get my deposit back?"
result = pipeline.run(
    {"search": {"query": question}, "prompt": {"question": question}}, include_outputs_from={"prompt"}
)
print(result["prompt"]["prompt"][0].text)
print(result["model"]["replies"][0].text)
pipeline.close()

# Answer from these clauses alone:
# [deposit] The deposit of two months' rent is paid back within six weeks after the keys are returned.
#
# Question: When do I get my deposit back?
# Within six weeks [deposit].
