"""From the embedded store to a server: what was indexed is copied with its vectors; nothing is embedded again.

Here the second store is another folder, so that the example runs anywhere. For a server, write
`QdrantStore(url="https://…", api_key=…, collection="news")` in its place; in Haystack it is
`BicrossDocumentStore(url="https://…", api_key=Secret.from_env_var("QDRANT_API_KEY"), collection="news")`.
"""

from itertools import islice
from tempfile import TemporaryDirectory

from bicross import BiEncoder, CrossEncoder, Passage, QdrantStore, TwoStageRetriever

NEWS = [
    Passage("The bridge over the river is closed until autumn.", id="bridge", meta={"page": 1}),
    Passage("The library lends out tools as well as books now.", id="library", meta={"page": 4}),
    Passage("The new tram line stops in front of the hospital.", id="tram", meta={"page": 2}),
]


def copy(source: QdrantStore, target: QdrantStore, batch: int = 500) -> int:
    """Write everything of one store into another, with the model that it is bound to."""
    info = source.info()
    target.bind(
        dimension=info.dimension,
        fingerprint=info.fingerprint,
        model=info.model,
        revision=info.revision,
        distance=info.distance,
    )
    passages = source.scroll()
    while part := list(islice(passages, batch)):
        ids, vectors = source.vectors([passage.id for passage in part])
        by_id = {passage.id: passage for passage in part}
        target.upsert([by_id[id] for id in ids], vectors)
    return target.count()


with (
    TemporaryDirectory() as folder,
    BiEncoder.load() as finds,
    CrossEncoder.load() as reorders,
    QdrantStore(path=f"{folder}/laptop", collection="news") as embedded,
    QdrantStore(path=f"{folder}/server", collection="news") as server,
):
    before = TwoStageRetriever(finds, embedded, reorders)
    before.index(NEWS, show_progress=False)
    print("copied:", copy(embedded, server))
    after = TwoStageRetriever(finds, server, reorders)
    question = "Where can I borrow a drill?"
    print(after.search(question, top_k=1)[0].passage.text)
    same = [hit.score for hit in before.search(question)] == [hit.score for hit in after.search(question)]
    print("the same scores:", same)
    print("indexed again:", after.index(NEWS, show_progress=False).encoded, "encoded")

# copied: 3
# The library lends out tools as well as books now.
# the same scores: True
# indexed again: 0 encoded
