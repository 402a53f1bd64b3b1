"""bicross evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bicross.cli.common import (
    DEFAULT_CACHE,
    CacheOption,
    CrossOption,
    DeviceOption,
    DocumentPromptOption,
    JsonOption,
    PrecisionOption,
    Prompts,
    QueryPromptOption,
    RerankPromptOption,
    check_output,
    load_bi_encoder,
    load_scorer,
)


def evaluate(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Folder in BEIR's layout, or irds:NAME of ir_datasets.")],
    split: Annotated[str, typer.Option("--split", help="Name of the qrels file.")] = "test",
    bi: Annotated[str, typer.Option("--bi", help="Bi-encoder: a model, 'starter' or 'minilm'.")] = "starter",
    cross: CrossOption = "starter",
    first_stage: Annotated[str, typer.Option("--first-stage", help="dense, bm25 or hybrid.")] = "dense",
    fusion: Annotated[str, typer.Option("--fusion", help="Of hybrid: weighted or rrf.")] = "weighted",
    sparse_weight: Annotated[float, typer.Option("--sparse-weight", help="Of hybrid: share of BM25, 0 to 1.")] = 0.5,
    language: Annotated[str, typer.Option("--language", help="Of BM25: a code such as de, or auto.")] = "en",
    candidates: Annotated[int, typer.Option("--candidates", help="What the first stage hands to the second.")] = 100,
    measure: Annotated[
        list[str] | None, typer.Option("--measure", help="A name of the ir-measures library; may be repeated.")
    ] = None,
    exclude_self: Annotated[
        bool, typer.Option("--exclude-self", help="Drop the document that has the query's own id.")
    ] = False,
    queries: Annotated[int | None, typer.Option("--queries", help="Ask a seeded sample of so many queries.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the sample.")] = 0,
    stage1_weight: Annotated[
        float | None, typer.Option("--stage1-weight", help="Weight of the first stage; by default the model's own.")
    ] = None,
    cache: CacheOption = DEFAULT_CACHE,
    run: Annotated[Path | None, typer.Option("--run", help="Write the last stage's TREC run file.")] = None,
    compare: Annotated[
        Path | None, typer.Option("--compare", help="Test the last stage against this TREC run file.")
    ] = None,
    timed: Annotated[
        int, typer.Option("--timed", help="Time so many single queries: encode, retrieve (exact search), rerank.")
    ] = 0,
    query_prompt: QueryPromptOption = None,
    document_prompt: DocumentPromptOption = None,
    rerank_prompt: RerankPromptOption = None,
    precision: PrecisionOption = "float32",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Measure models on queries with judgments, by exact search.

    Vectors and scores are kept in the cache: killed at any moment, the same command goes on where it stopped, and a
    second model that shares one of the two encodes nothing anew.

    Example: bicross evaluate data/scifact --cross none --run dense.run

    Example: bicross evaluate data/scifact --cross fast --queries 100 --compare dense.run
    """
    from bicross.evaluation.evaluating import evaluate as measure_retriever
    from bicross.evaluation.measures import DEFAULT_MEASURES
    from bicross.evaluation.stages import Stages
    from bicross.sparse import BM25Encoder

    check_output(run)
    sparse = BM25Encoder(language) if first_stage != "dense" else None
    prompts: Prompts = {"query_prompt": query_prompt, "document_prompt": document_prompt}
    encoder = load_bi_encoder(None, bi, precision, device, **prompts)
    scorer = load_scorer(cross, precision, device, rerank_prompt)
    with Stages(
        encoder, scorer, sparse_encoder=sparse, fusion=fusion, sparse_weight=sparse_weight, cache_dir=cache
    ) as stages:
        found = measure_retriever(
            stages,
            data,
            split=split,
            measures=measure or DEFAULT_MEASURES,
            queries=queries,
            seed=seed,
            exclude_self=exclude_self,
            candidates=candidates,
            first_stage=first_stage,
            stage1_weight=stage1_weight,
            compare=compare,
            timed=timed,
        )
    if run is not None:
        found.to_run(run)
    typer.echo(found.to_json() if as_json else str(found))
