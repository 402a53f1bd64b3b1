"""Haystack: both stages as a tool of an agent. The chat model is a stand-in that asks for the tool, then answers."""

from haystack import Document
from haystack.components.agents import Agent
from haystack.components.generators.chat import MockChatGenerator
from haystack.dataclasses import ChatMessage, ToolCall
from haystack.tools import ComponentTool

from haystack_integrations.components.embedders.bicross import BicrossDocumentEmbedder
from haystack_integrations.components.retrievers.bicross import BicrossRetriever
from haystack_integrations.document_stores.bicross import BicrossDocumentStore

BOARD = [
    Document(content="Room 204 is booked for the choir every Thursday evening."),
    Document(content="The projector of room 117 is being repaired until Friday."),
    Document(content="The copy room moved to the second floor, next to the library."),
]

store = BicrossDocumentStore()
store.write_documents(BicrossDocumentEmbedder().run(BOARD)["documents"])
tool = ComponentTool(
    BicrossRetriever(store, top_k=1),
    name="search_board",
    description="Finds notices of the school's board.",
    outputs_to_string={"source": "documents", "handler": lambda found: "\n".join(d.content for d in found)},
)
call = ToolCall("search_board", {"query": "Where is the copy machine?"}, id="1")
agent = Agent(
    chat_generator=MockChatGenerator([ChatMessage.from_assistant(tool_calls=[call]), "On the second floor."]),
    tools=[tool],
)
for message in agent.run(messages=[ChatMessage.from_user("Where can I copy my homework?")])["messages"]:
    asked = [f"{item.tool_name}({item.arguments['query']!r})" for item in message.tool_calls]
    answered = [item.result for item in message.tool_call_results]
    print(f"{message.role.value:9}", *(asked or answered or [message.text]))

# user      Where can I copy my homework?
# assistant search_board('Where is the copy machine?')
# tool      The copy room moved to the second floor, next to the library.
# assistant On the second floor.
