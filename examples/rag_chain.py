"""A question answered from documents: both stages of retrieval in a LangChain chain.

The chat model is a stand-in with a fixed answer; put your own in its place.
"""

from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough

from bicross import BiEncoder, CrossEncoder, Passage, QdrantStore, TwoStageRetriever
from bicross.langchain import BicrossRetriever

HOUSE_RULES = {
    "bins": "Paper goes into the blue bin, which is emptied every second Tuesday.",
    "laundry": "The washing machines in the cellar may run from seven in the morning to nine at night.",
    "keys": "Whoever loses a key tells the caretaker at once; the lock is changed at the tenant's cost.",
    "heating": "The heating is on from October to April and keeps the flats at twenty degrees.",
    "bicycles": "Bicycles stand in the yard or in the cellar, never in the staircase.",
}


def as_context(documents: list[Document]) -> str:
    return "\n".join(f"[{document.id}] {document.page_content}" for document in documents)


prompt = ChatPromptTemplate.from_template("Answer from these rules:\n{context}\n\nQuestion: {question}")
model = FakeListChatModel(responses=["Until nine at night [laundry]."])

with QdrantStore(path=":memory:") as store, BiEncoder.load() as finds, CrossEncoder.load() as reorders:
    engine = TwoStageRetriever(finds, store, reorders)
    engine.index([Passage(text, id=id) for id, text in HOUSE_RULES.items()], show_progress=False)
    retriever = BicrossRetriever(retriever=engine, k=2)

    context = retriever | as_context
    chain = {"context": context, "question": RunnablePassthrough()} | prompt | model | StrOutputParser()

    question = "How late can I wash my clothes?"
    print("asked: ", question)
    print("best:  ", retriever.invoke(question)[0].page_content)
    print("answer:", chain.invoke(question))
    print("k=1:   ", [document.id for document in retriever.invoke("Where do I put my bike?", k=1)])

# asked:  How late can I wash my clothes?
# best:   The washing machines in the cellar may run from seven in the morning to nine at night.
# answer: Until nine at night [laundry].
# k=1:    ['bicycles']
