"""The retriever as a tool of an agent, with LangChain's `create_retriever_tool`.

The chat model is a stand-in that asks for the tool once and then answers; put your own in its place.
"""

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import create_retriever_tool

from bicross import BiEncoder, CrossEncoder, Passage, QdrantStore, TwoStageRetriever
from bicross.langchain import BicrossRetriever

PLANTS = {
    "fern": "Ferns like shade and damp soil; the sun burns their leaves.",
    "cactus": "A cactus needs water once a month and as much sun as it can get.",
    "orchid": "Orchids are dipped into water once a week and stand near a window, out of the sun.",
    "ivy": "Ivy climbs north walls and wants a trim in spring.",
}

asks = {"name": "search_plants", "args": {"query": "How often do I water a cactus?"}, "id": "call-1"}
model = GenericFakeChatModel(
    messages=iter([AIMessage("", tool_calls=[asks]), AIMessage("Once a month, and give it sun.")])
)

with QdrantStore(path=":memory:") as store, BiEncoder.load() as finds, CrossEncoder.load() as reorders:
    engine = TwoStageRetriever(finds, store, reorders)
    engine.index([Passage(text, id=id) for id, text in PLANTS.items()], show_progress=False)
    tool = create_retriever_tool(
        BicrossRetriever(retriever=engine, k=1), "search_plants", "Finds what is known about the care of plants."
    )

    messages = [HumanMessage("My cactus looks dry. When was I to water it?")]
    while True:
        reply = model.invoke(messages)
        messages.append(reply)
        if not reply.tool_calls:
            break
        messages += [tool.invoke(call) for call in reply.tool_calls]

for message in messages:
    print(f"{message.type:5}", message.content or f"calls {message.tool_calls[0]['name']}")

# human My cactus looks dry. When was I to water it?
# ai    calls search_plants
# tool  A cactus needs water once a month and as much sun as it can get.
# ai    Once a month, and give it sun.
