"""Whatever retrieves, as a function from a query to ids and scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bicross.errors import ConfigurationError, InputError, InputTypeError

Answer = tuple[list[str], list[float] | None]
"""Document ids, best first, and their scores where there are any."""

_SCORES = ("relevance_score", "score")


def from_haystack(
    pipeline: Any,
    *,
    inputs: Sequence[str] | None = None,
    output: str | None = None,
    id_key: str | None = None,
    data: Mapping[str, Mapping[str, Any]] | None = None,
) -> Callable[[str], Answer]:
    """A Haystack pipeline as a function from a query to ids and scores.

    Args:
        pipeline: A `haystack.Pipeline`.
        inputs: Sockets that get the query, as ``"component.socket"``. None: every input of type str that the pipeline
            can't run without and that nothing is connected to.
        output: The socket whose documents count, as ``"component.socket"``, at the end of the pipeline or within it.
            None: the one list of documents that is connected to nothing.
        id_key: Field of the documents' meta that holds the id in the data set; None: the documents' own ids.
        data: Further inputs of every run, for example ``{"ranker": {"top_k": 100}}``.

    Raises:
        ConfigurationError: Sockets that have to be named; the message lists those that there are.
    """
    sockets = {
        f"{component}.{name}": socket
        for component, named in pipeline.inputs().items()
        for name, socket in named.items()
    }
    fixed = {component: dict(values) for component, values in (data or {}).items()}
    given = {f"{component}.{name}" for component, values in fixed.items() for name in values}
    wanted = list(inputs) if inputs is not None else _query_sockets(sockets, given)
    place = output or _documents_socket(pipeline)
    component, _, name = place.partition(".")

    def retrieve(query: str) -> Answer:
        values = {key: dict(value) for key, value in fixed.items()}
        for socket in wanted:
            owner, _, field = socket.partition(".")
            values.setdefault(owner, {})[field] = query
        found = pipeline.run(values, include_outputs_from={component}).get(component, {}).get(name)
        if found is None:
            raise ConfigurationError(
                f"The pipeline gave nothing at {place!r}. Name the output: output='component.socket'."
            )
        return _documents(found, id_key, "meta", [document.score for document in found])

    return retrieve


def _query_sockets(sockets: Mapping[str, Mapping[str, Any]], given: set[str]) -> list[str]:
    needed = {name: socket["type"] for name, socket in sockets.items() if socket["is_mandatory"] and name not in given}
    strange = [name for name, kind in needed.items() if kind not in (str, Any)]
    if strange or not needed:
        raise ConfigurationError(
            "A query is a string; the pipeline "
            + (f"also needs {strange[0]!r}" if strange else "has no input that must be given")
            + f". Name the query's sockets (inputs=['component.socket']) and pass the rest as data=; there are "
            f"{sorted(sockets)!r}."
        )
    return list(needed)


def _documents_socket(pipeline: Any) -> str:
    places = [
        f"{component}.{name}"
        for component, named in pipeline.outputs().items()
        for name, socket in named.items()
        if "Document" in str(socket["type"])
    ]
    if len(places) != 1:
        every = pipeline.outputs(include_components_with_connected_outputs=True)
        known = sorted(f"{component}.{name}" for component, named in every.items() for name in named)
        raise ConfigurationError(
            f"One output must hold the documents that count, got {places or 'none'!r}. Name it: "
            f"from_haystack(pipeline, output='component.socket'); there are {known!r}."
        )
    return places[0]


def from_langchain(retriever: Any, *, id_key: str | None = None) -> Callable[[str], Answer]:
    """A LangChain retriever, or any runnable from a query to documents, as a function to ids and scores.

    Scores are read from the documents' metadata: ``relevance_score``, else ``score``.

    Args:
        retriever: Has ``invoke(query)``, which returns documents.
        id_key: Field of the documents' metadata that holds the id in the data set; None: the documents' own ids.
    """

    def retrieve(query: str) -> Answer:
        found = retriever.invoke(query)
        scores = [next((d.metadata[key] for key in _SCORES if key in d.metadata), None) for d in found]
        return _documents(found, id_key, "metadata", scores)

    return retrieve


def _documents(found: Sequence[Any], id_key: str | None, place: str, scores: Sequence[Any]) -> Answer:
    ids: list[str] = []
    for document in found:
        value = document.id if id_key is None else getattr(document, place).get(id_key)
        if value is None:
            kept = sorted(getattr(document, place))
            raise ConfigurationError(
                f"Every document needs an id; got none in {id_key or 'id'!r}. Its {place} has the fields {kept!r}: "
                "name the one that holds the data set's ids as id_key."
            )
        ids.append(str(value))
    return ids, None if any(score is None for score in scores) else [float(score) for score in scores]


def as_function(retriever: Any) -> Callable[[str], Any]:
    """The function behind a Haystack pipeline, a LangChain retriever, or a function itself.

    Raises:
        ConfigurationError: Nothing of these.
    """
    if hasattr(retriever, "add_component") and hasattr(retriever, "inputs"):
        return from_haystack(retriever)
    if hasattr(retriever, "invoke"):
        return from_langchain(retriever)
    if callable(retriever):
        function: Callable[[str], Any] = retriever
        return function
    raise ConfigurationError(
        "evaluate takes Stages, a BiEncoder, a TwoStageRetriever, a function from a query to ids and scores, a "
        f"Haystack pipeline, a LangChain retriever, or a TREC run file; got {type(retriever).__name__}."
    )


def read_answer(answer: Any) -> Answer:
    """What a function returned, as ids and scores, best first; of an id that is there twice, the first.

    Accepted: (ids, scores), a list of ids, a list of (id, score), or a mapping from id to score, which alone is sorted.

    Raises:
        InputTypeError: Anything else.
        InputError: A score is NaN.

    >>> read_answer({"a": 1.0, "b": 2.0})
    (['b', 'a'], [2.0, 1.0])
    >>> read_answer(["b", "a", "b"])
    (['b', 'a'], None)
    """
    ids, scores = _pairs(answer)
    first = list(dict.fromkeys(ids))
    if len(first) < len(ids):
        places = [ids.index(document_id) for document_id in first]
        scores = None if scores is None else [scores[place] for place in places]
    return first, scores


def _pairs(answer: Any) -> Answer:
    if isinstance(answer, Mapping):
        answer = sorted(answer.items(), key=lambda item: -item[1])
    if isinstance(answer, tuple) and len(answer) == 2 and not isinstance(answer[0], str):
        ids, scores = list(answer[0]), answer[1]
    else:
        rows = answer if isinstance(answer, str) else list(answer) if hasattr(answer, "__iter__") else answer
        if not isinstance(rows, list):
            raise InputTypeError(f"A retriever returns ids and scores, got {rows!r:.80}.")
        paired = bool(rows) and all(isinstance(row, tuple | list) and len(row) == 2 for row in rows)
        ids, scores = [row[0] for row in rows] if paired else rows, [row[1] for row in rows] if paired else None
    for document_id in ids:
        if not isinstance(document_id, str):
            raise InputTypeError(f"Document ids are strings, as in the data set; got {document_id!r:.80}.")
    if scores is None:
        return ids, None
    scores = [float(score) for score in scores]
    if len(scores) != len(ids):
        raise InputTypeError(f"A retriever returns one score for each id, got {len(ids)} ids and {len(scores)} scores.")
    for document_id, score in zip(ids, scores, strict=True):
        if math.isnan(score):
            raise InputError(f"A retriever's scores are numbers, got NaN for document {document_id!r:.80}. Mend it.")
    return ids, scores
