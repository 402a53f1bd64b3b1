"""Trains one student for three domains and documentation: the recipes in `docs/distillation.md`, with every setting.

    python benchmarks/train_student.py --out build/starter --teacher-precision int8 --topics --topic-lists 32 \\
        --batch-size 64 --negatives 5 --halves-weight 0.7 --freeze-layers 2 --learning-rate 5e-5 --epochs 2 \\
        --held-out 100 --max-length 192 --losses kl=1 margin_mse=0.3 contrastive=0.3 anchor=0.05
    python benchmarks/train_student.py --out build/query-tower --teacher-precision int8 --towers query --epochs 2
    python benchmarks/train_student.py --out build/averaged --teacher-precision int8 \\
        --share 0.62 --freeze-layers 2 --learning-rate 4e-5 --base-share 0.5 \\
        --losses kl=1 margin_mse=0.3 contrastive=0.1 anchor=0.05
    python benchmarks/train_student.py --out build/light-tower --teacher-precision int8 --towers query --static \\
        --student build/query-tower --asked --sentences 100000 --epochs 3

The first is the starter bi-encoder, which encodes documents anew: it learns from whole neighbourhoods of documents with
their queries, in steps of one topic, which encode a document once for all lists that hold it. The second is a query
tower for indexes of the base that stay as they are. The third is an earlier starter; without `--base-share` it is the
student of both towers in `student_quality-both-towers.json`. The fourth is a light query tower, made from the second.
The lists of the last three are those that the fast cross-encoder learns from (`train_fast.py`). Pairs are scored once
for all; lists are kept in the run's folder. The teacher is the starter cross-encoder with a share of the bi-encoder.
(The first and the third were run with an earlier version, whose one scale for scores and labels began at 20: today they
give other weights.)
`--losses contrastive=1` learns from the judgments alone, in as many steps: what does the teacher add?

Reads the train splits from `--data`, `$BICROSS_DATA` or `../shared/data`, and the documentation of the installed
packages. Run again after an interruption, it goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from cached_encoder import CachedEncoder
from starter_material import as_labels, titled
from train_fast import AMOUNTS, HELD_OUT, NEGATIVES, SEED, WINDOW, recipe_parser
from train_starter import kept_documentation, labelled_sets, train_split

from bicross import BiEncoder, CrossEncoder
from bicross.caches import VectorCache
from bicross.distillation import (
    CandidateLists,
    ScoredList,
    StudentSettings,
    score_candidates,
    texts_alone,
    train_bi_encoder,
)
from bicross.distillation.candidates import search_candidates
from bicross.distillation.extracted import extract_halves, extract_sentences
from bicross.distillation.groups import draw_groups
from bicross.distillation.held_out import split_held_out
from bicross.distillation.labels import Labels
from bicross.types import Encoder, Floats, Passage

TOPICS = {"squad": (2500, 3), "medquad": (3500, 3), "tldr": (3000, 3)}
"""With `--topics`: documents of each set, and queries that one of them answers, at most."""
NEIGHBOURS, NEAR_RANKS = 24, 12
STAGE1_WEIGHT = 0.3
"""The bi-encoder's share in the teacher; 0.2 to 0.4 is best on the dev queries in `results/rerank_quality.json`."""


def drawn_lists(sets: list[Labels], encoder: Encoder, folder: Path, share: float) -> dict[str, CandidateLists]:
    """The lists of `train_fast.py`, by set: a relevant document, and others of the first 60 ranks.

    Args:
        sets: What is trained on.
        encoder: Finds the candidates.
        folder: Where they are kept.
        share: Of the lists; the same in every set.
    """
    parts = [split_held_out(labels, HELD_OUT, seed=SEED)[0] for labels in sets]
    mined = [search_candidates(labels, encoder, top_k=max(WINDOW), folder=folder) for labels in sets]
    groups = draw_groups(list(zip(parts, mined, strict=True)), 0, NEGATIVES, WINDOW, SEED)
    home = {query.text: part.name for part in parts for query in part.queries.values()}
    lists: dict[str, dict[str, ScoredList]] = {part.name: {} for part in parts}
    for group in groups:
        of_set, count = lists[home[group.query]], len(group.texts)
        scores, ranks = np.full(count, np.nan, np.float32), np.zeros(count, np.int32)
        labels, kinds = np.array(group.labels, np.float32), ("positive", *["dense"] * (count - 1))
        of_set[group.query] = ScoredList(group.query, group.query, group.texts, scores, labels, kinds, ranks)
    chosen = {name: list(of_set.values())[: int(share * len(of_set))] for name, of_set in lists.items()}
    return {
        name: CandidateLists(some, {text: text for one in some for text in one.document_ids})
        for name, some in chosen.items()
    }


def neighbourhoods(vectors: Floats, count: int, rng: np.random.Generator) -> list[list[int]]:
    """Rows in groups of `NEIGHBOURS`: drawn ones with those that are nearest to them and left. At least ``count``."""
    free = np.ones(len(vectors), dtype=bool)
    found: list[list[int]] = []
    for centre in rng.permutation(len(vectors)).tolist():
        if free[centre] and len(found) * NEIGHBOURS < count:
            near = np.argsort(-np.where(free, vectors @ vectors[centre], -np.inf), kind="stable")
            found.append(near[: min(NEIGHBOURS, free.sum())].tolist())
            free[found[-1]] = False
    return found


def topic_lists(labels: Labels, encoder: Encoder, count: int, each: int, negatives: int) -> CandidateLists:
    """Lists whose candidates are of the relevant document's neighbourhood, so that a topic's lists share documents.

    Args:
        labels: What is drawn from: queries that ask what no other one asks and have one answer, and these answers. No
            other document is anywhere in the lists.
        encoder: Whose similarity makes neighbours, and chooses among them.
        count: Documents.
        each: Queries of one document, at most.
        negatives: Drawn from the first `NEAR_RANKS` of the neighbourhood.
    """
    rng = np.random.default_rng(SEED)
    asked: dict[str, list[str]] = {}
    queries = list(labels.queries.values())
    times = Counter(query.text for query in queries)
    for query in (queries[place] for place in rng.permutation(len(queries)).tolist()):
        alone = len(query.positives) == 1 and times[query.text] == 1
        if alone and len(asked.setdefault(query.positives[0], [])) < each:
            asked[query.positives[0]].append(query.text)
    ids = sorted(asked)
    vectors = encoder.encode_document([labels.documents[document_id] for document_id in ids])
    lists = []
    for places in neighbourhoods(vectors, count, rng):
        pairs = [(own, text) for own in places for text in asked[ids[own]]]
        ranked = np.argsort(-encoder.encode_query([text for _, text in pairs]) @ vectors[places].T, kind="stable")
        for (own, text), row in zip(pairs, ranked.tolist(), strict=True):
            near = [places[i] for i in row if labels.documents[ids[places[i]]] != labels.documents[ids[own]]]
            drawn = rng.permutation(near[:NEAR_RANKS])[:negatives].tolist()
            known = np.array([1.0, *[np.nan] * len(drawn)], np.float32)
            kinds, ranks = ("positive", *["dense"] * len(drawn)), np.zeros(len(known), np.int32)
            documents = tuple(ids[place] for place in (own, *drawn))
            lists.append(ScoredList(text, text, documents, np.full_like(known, np.nan), known, kinds, ranks))
    return CandidateLists(lists, {document_id: labels.documents[document_id] for document_id in ids})


def all_topic_lists(
    data: Path, docs: list[Passage], encoder: Encoder, folder: Path, negatives: int
) -> dict[str, CandidateLists]:
    """By set: lists of whole neighbourhoods, and what `labelled_sets` has besides questions."""
    lists, others = {}, []
    for name, (count, each) in TOPICS.items():
        everything = train_split(data, name)
        lists[name] = topic_lists(everything, encoder, count, each, negatives)
        if name in AMOUNTS.halves:
            others.append(extract_halves(everything, AMOUNTS.halves[name], seed=SEED))
    count = AMOUNTS.documentation
    others += [titled(docs, count, seed=SEED), extract_halves(as_labels(docs), count, seed=SEED)]
    return {**lists, **drawn_lists(others, encoder, folder, 1.0)}


def alone(data: Path, docs: list[Passage], count: int, *, asked: bool) -> list[CandidateLists]:
    """Texts without candidates, whose words' vectors a light tower learns.

    Args:
        data: Folder of the sets.
        docs: The documentation.
        count: Sentences of the documents that answer train queries, and of the documentation.
        asked: Whether the train queries are among the texts. (Those of held-out lists aren't trained on.)
    """
    sets = [train_split(data, name) for name in TOPICS]
    answers = {labels.documents[key] for labels in sets for one in labels.queries.values() for key in one.positives}
    texts = sorted(answers | {passage.full_text for passage in docs})
    found = []
    if count:
        found.append(texts_alone(extract_sentences(texts, count, language="en", seed=SEED)))
    if asked:
        found.append(texts_alone(sorted({query.text for labels in sets for query in labels.queries.values()})))
    return found


def parse() -> argparse.Namespace:
    parser = recipe_parser(__doc__)
    parser.add_argument("--towers", choices=("both", "query"), default="both")
    parser.add_argument("--student", help="bi-encoder to begin with; default: that which finds the candidates")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--topics", action="store_true", help="lists of whole neighbourhoods of documents")
    parser.add_argument("--topic-lists", type=int, help="lists of one topic that stand together in a step")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument(
        "--negatives", type=int, default=NEGATIVES, help="candidates besides the positive, with --topics"
    )
    parser.add_argument("--halves-weight", type=float, default=STAGE1_WEIGHT, help="of the base, on halves")
    parser.add_argument("--held-out", type=int, default=HELD_OUT, help="lists of each set to choose the epoch by")
    parser.add_argument("--share", type=float, default=1.0, help="of the lists")
    parser.add_argument("--freeze-layers", type=int, default=0)
    parser.add_argument("--base-share", type=float, default=0.0, help="of the weights before training in the student")
    parser.add_argument("--layers", type=int, nargs="+", help="which of the query tower's layers are kept")
    parser.add_argument("--static", action="store_true", help="a table of token vectors as query tower")
    parser.add_argument("--sentences", type=int, default=0, help="of the documents, whose vectors a light tower keeps")
    parser.add_argument("--asked", action="store_true", help="the vectors of all train queries, too")
    parser.add_argument("--vector-teacher", help="bi-encoder whose query vectors the loss 'vectors' matches")
    parser.add_argument("--losses", nargs="+", metavar="NAME=WEIGHT", help="default: what suits the towers")
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--max-length", type=int)
    return parser.parse_args()


def student_settings(options: argparse.Namespace) -> StudentSettings:
    """What is asked for on the command line."""
    changed = {name: getattr(options, name) for name in ("learning_rate", "max_length", "batch_size")}
    losses = None
    if options.losses:
        losses = {name: float(weight) for name, weight in (item.split("=") for item in options.losses)}
    settings = StudentSettings(
        towers=options.towers,
        layers=tuple(options.layers) if options.layers else None,
        static=options.static,
        freeze_layers=options.freeze_layers,
        base_share=options.base_share,
        losses=losses,
        topic_lists=options.topic_lists,
        epochs=options.epochs,
        held_out=options.held_out,
    )
    given = {name: value for name, value in changed.items() if value is not None}
    return replace(settings, training=replace(settings.trainer, seed=SEED, save_steps=40, **given))


def main() -> None:
    """Reads the command line and trains."""
    options = parse()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    run_folder = options.run_folder or options.out.with_name(f"{options.out.name}.run")
    encoder = BiEncoder.load("minilm")
    teacher = CrossEncoder.load("starter", precision=options.teacher_precision)
    docs = kept_documentation(encoder, run_folder / "documentation.jsonl")
    with VectorCache(options.cache) as cache:
        searcher = CachedEncoder(encoder, cache)
        if options.topics:
            lists = all_topic_lists(options.data, docs, searcher, run_folder, options.negatives)
        else:
            sets = labelled_sets(options.data, docs, AMOUNTS, seed=SEED)
            lists = drawn_lists(sets, searcher, run_folder, options.share)
        scored = []
        for name, one in lists.items():
            of_base = options.halves_weight if name.endswith("-halves") else STAGE1_WEIGHT
            logging.info("scoring %s: %d lists", name, len(one))
            weights = [1 - of_base, of_base]
            scored.append(score_candidates(one, [teacher, encoder], weights=weights, cache_dir=options.cache))
            scored[-1].write(run_folder / f"{name}.parquet")
        if options.sentences or options.asked:
            scored += alone(options.data, docs, options.sentences, asked=options.asked)
        report = train_bi_encoder(
            scored,
            BiEncoder.load(options.student) if options.student else encoder,
            out=options.out,
            settings=student_settings(options),
            vector_teacher=BiEncoder.load(options.vector_teacher) if options.vector_teacher else None,
            cache=cache,
            run_folder=run_folder,
        )
    print(json.dumps(asdict(report), indent=2, default=str))


if __name__ == "__main__":
    main()
