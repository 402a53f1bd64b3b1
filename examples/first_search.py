"""The first search: passages in, both stages out, nothing kept."""

from bicross import BiEncoder, CrossEncoder, Passage, QdrantStore, TwoStageRetriever

SHELF = {
    "honey": "Honey doesn't spoil; where it has set, a warm bath makes it liquid again.",
    "flour": "White flour keeps for a year in a closed tin, wholemeal for three months.",
    "potatoes": "Potatoes go into the dark: light turns them green, and bitter.",
    "basil": "Basil stands in a glass of water on the window sill, never in the fridge.",
    "cheese": "Hard cheese is wrapped in paper, then put into a box in the fridge.",
}

with QdrantStore(path=":memory:") as store, BiEncoder.load() as finds, CrossEncoder.load() as reorders:
    retriever = TwoStageRetriever(finds, store, reorders)
    report = retriever.index([Passage(text, id=id) for id, text in SHELF.items()], show_progress=False)
    print(f"{report.new} new; again: {retriever.index([Passage(SHELF['honey'], id='honey')]).unchanged} unchanged")
    for query in ("why is my potato green?", "how long can I store flour?"):
        best = retriever.search(query, top_k=1)[0]
        print(f"{query} -> {best.passage.id}: {best.passage.text}")

# 5 new; again: 1 unchanged
# why is my potato green? -> potatoes: Potatoes go into the dark: light turns them green, and bitter.
# how long can I store flour? -> flour: White flour keeps for a year in a closed tin, wholemeal for three months.
