"""A reranker behind a vector store that you have already: LangChain's compression over its own `QdrantVectorStore`."""

from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_qdrant import QdrantVectorStore

from bicross.langchain import BicrossEmbeddings, BicrossReranker

NOTES = [
    "The ferry to the island leaves at eight, at noon and at five.",
    "The ferry's café closes half an hour before the last crossing.",
    "Cars are not allowed on the island; bicycles cross for free.",
    "The last bus to the harbour goes at twenty past four.",
    "The lighthouse on the island was built in 1871.",
    "In winter the noon crossing is left out.",
]

there_already = QdrantVectorStore.from_texts(NOTES, BicrossEmbeddings(), location=":memory:", collection_name="notes")
first_stage = there_already.as_retriever(search_kwargs={"k": 6})
both_stages = ContextualCompressionRetriever(
    base_retriever=first_stage,
    base_compressor=BicrossReranker(top_n=2),
)

question = "Can I take my car across?"
before, after = first_stage.invoke(question), both_stages.invoke(question)
print(f"{len(before)} notes before, {len(after)} after; the best:")
print(after[0].page_content)
scores = [document.metadata["relevance_score"] for document in after]
print("ordered by relevance_score:", scores == sorted(scores, reverse=True))

# 6 notes before, 2 after; the best:
# Cars are not allowed on the island; bicycles cross for free.
# ordered by relevance_score: True
