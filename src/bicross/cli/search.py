"""bicross search."""

from __future__ import annotations

import contextlib
import json
import uuid
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bicross.cli.common import (
    DEFAULT_COLLECTION,
    DEFAULT_STORE,
    BudgetOption,
    CollectionOption,
    CrossOption,
    DeviceOption,
    DocumentPromptOption,
    FirstStageOption,
    JsonOption,
    LanguageOption,
    PrecisionOption,
    QueryPromptOption,
    RerankPromptOption,
    SparseOption,
    StoreOption,
    console,
    find_collection,
    load_models,
    open_store,
    print_json,
)
from bicross.errors import ConfigurationError

if TYPE_CHECKING:
    from bicross.types import Hit, SearchResult

_SNIPPET = 160


def search(
    queries: Annotated[list[str], typer.Argument(metavar="QUERY", help="What is sought; several are run in turn.")],
    store: StoreOption = DEFAULT_STORE,
    collection: CollectionOption = DEFAULT_COLLECTION,
    cross: CrossOption = "starter",
    top_k: Annotated[int, typer.Option(help="How many hits.")] = 10,
    candidates: Annotated[int, typer.Option(help="What the first stage hands to the second.")] = 100,
    filter: Annotated[str | None, typer.Option("--filter", help="A filter as JSON.")] = None,
    budget_ms: BudgetOption = None,
    score_threshold: Annotated[float | None, typer.Option(help="Least final score of a hit.")] = None,
    context: Annotated[int, typer.Option(help="Neighbouring passages on either side of a hit.")] = 0,
    group_by: Annotated[
        str | None,
        typer.Option(
            help="Search documents: return the best passages of each alone. The field of meta that they share."
        ),
    ] = None,
    group_size: Annotated[int, typer.Option(help="Most passages of a document, with --group-by.")] = 1,
    first_stage: FirstStageOption = "dense",
    language: LanguageOption = None,
    sparse: SparseOption = None,
    diversity: Annotated[float, typer.Option(help="From 0 to 1: how much a hit loses by being like a better one.")] = 0,
    query_prompt: QueryPromptOption = None,
    document_prompt: DocumentPromptOption = None,
    rerank_prompt: RerankPromptOption = None,
    precision: PrecisionOption = "float32",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Search a collection in two stages, with the model that filled it.

    Example: bicross search "split a string by a regular expression" --top-k 5

    Example: bicross search "error E1027" --first-stage hybrid

    Example: bicross search "who pays for it?" --group-by source_id

    Example: bicross search rain --filter '{"field": "meta.lang", "operator": "==", "value": "en"}' --json
    """
    condition = _parse_filter(filter)
    with open_store(store, collection) as source:
        models = load_models(
            find_collection(source),
            cross=cross,
            first_stage=first_stage,
            language=language,
            sparse=sparse,
            precision=precision,
            device=device,
            query_prompt=query_prompt,
            document_prompt=document_prompt,
            rerank_prompt=rerank_prompt,
        )
        retriever = models.over(source)
        # The first call of a model takes much longer than any other; the times below are those of a running service.
        retriever.search("warm up", 1, candidates=2)
        for query in queries:
            result = retriever.search(
                query,
                top_k,
                candidates=candidates,
                filter=condition,
                budget_ms=budget_ms,
                score_threshold=score_threshold,
                context=context,
                group_by=group_by,
                group_size=group_size,
                diversity=diversity,
            )
            if as_json:
                print_json(as_dict(query, result))
            else:
                unit = models.bi_encoder.similarity_name if first_stage == "dense" else first_stage
                units = (unit, models.cross_encoder.score_unit if models.cross_encoder else "")
                _print_result(query, result, units, retriever.stage1_weight, grouped=group_by is not None)


def as_dict(query: str, result: SearchResult) -> dict[str, Any]:
    """A result as JSON values."""
    return {
        "query": query,
        "hits": [_hit(hit) for hit in result],
        "reranked": result.reranked,
        "unscored": result.unscored,
        "truncated": result.truncated,
        "milliseconds": {stage: round(spent, 3) for stage, spent in result.milliseconds.items()},
    }


def _hit(hit: Hit) -> dict[str, Any]:
    passage = hit.passage
    values: dict[str, Any] = {
        "id": passage.id,
        "title": passage.title,
        "text": passage.text,
        "score": hit.score,
        "stage1_score": hit.stage1_score,
        "stage1_rank": hit.stage1_rank,
        "rerank_score": hit.rerank_score,
        "meta": dict(passage.meta),
        "source": passage.source,
        "document_id": hit.document_id,
        "document_span": hit.document_span,
    }
    if hit.legs:
        values["legs"] = {leg.name: {"rank": leg.rank, "score": leg.score} for leg in hit.legs}
    if hit.context:
        values["context"] = [near.text for near in hit.context]
    return values


def _parse_filter(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"--filter must be JSON, got {text!r}: {error}.") from error
    if not isinstance(value, dict):
        raise ConfigurationError(f"--filter must be a JSON object, got {text!r}.")
    return value


def _print_result(
    query: str, result: SearchResult, units: tuple[str, str], weight: float, *, grouped: bool = False
) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(query, style="bold"), title_justify="left", show_lines=False, expand=False)
    table.add_column("rank", justify="right")
    table.add_column("before", justify="right")
    table.add_column(units[0], justify="right")
    if result.reranked:
        table.add_column(f"rerank\n({units[1]})", justify="right")
        if weight:
            table.add_column("final", justify="right")
    if grouped:
        table.add_column("document\n(characters)", overflow="fold")
    table.add_column("passage", overflow="fold")
    for rank, hit in enumerate(result, start=1):
        row: list[Any] = [str(rank), _moved(rank, hit.stage1_rank), _number(hit.stage1_score)]
        if result.reranked:
            row.append(_number(hit.rerank_score))
            if weight:
                row.append(_number(hit.score))
        if grouped:
            row.append(_document(hit))
        table.add_row(*row, _snippet(hit))
    out = console()
    out.print(table)
    spent = " + ".join(f"{stage} {duration:.1f}" for stage, duration in result.milliseconds.items())
    cut = f", {result.truncated} of them cut to the cross-encoder's limit" if result.truncated else ""
    out.print(f"{spent} ms; {result.reranked} candidates reranked{cut}\n", markup=False)


def _moved(rank: int, before: int | None) -> str:
    if before is None or before == rank:
        return str(before or "")
    return f"{before} {'↑' if before > rank else '↓'}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _document(hit: Hit) -> Any:
    from rich.text import Text

    span, name = hit.document_span, hit.document_id
    with contextlib.suppress(ValueError):
        uuid.UUID(name)
        name = hit.passage.source or name  # an id that was made says nothing to a reader
    return Text(name + (f"\n{span[0]}–{span[1]}" if span else ""))


def _snippet(hit: Hit) -> Any:
    from rich.text import Text

    text = " ".join(hit.passage.text.split())
    snippet = text[:_SNIPPET] + ("…" if len(text) > _SNIPPET else "")
    return Text.assemble((f"{hit.passage.title}  ", "bold"), snippet) if hit.passage.title else Text(snippet)
