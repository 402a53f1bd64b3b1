"""Trains one student for three domains and documentation: the recipes in `docs/distillation.md`, with every setting.

    python benchmarks/train_student.py --out build/starter --teacher-precision int8 \\
        --share 0.62 --freeze-layers 2 --learning-rate 4e-5 --base-share 0.5
    python benchmarks/train_student.py --out build/query-tower --teacher-precision int8 --towers query --epochs 4

The first is the starter bi-encoder, which encodes documents anew (without `--base-share` it is the student of both
towers in `student_quality-both-towers.json`); the second is a query tower for indexes of the base that stay as they
are. The lists are those that the fast cross-encoder learns from (`train_fast.py`), so that a pair is scored once for
both; they are kept in the run's folder. The teacher is the starter cross-encoder with a share of the bi-encoder.
`--losses contrastive=1` learns from the judgments alone, in as many steps: what does the teacher add?

Reads the train splits from `--data`, `$BICROSS_DATA` or `../shared/data`, and the documentation of the installed
packages. Run again after an interruption, it goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from cached_encoder import CachedEncoder
from starter_material import as_labels, neighbourhoods, titled
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
from bicross.distillation.extracted import extract_halves
from bicross.distillation.groups import draw_groups
from bicross.distillation.held_out import split_held_out
from bicross.distillation.labels import Labels
from bicross.readers.segments import sentences as split_sentences
from bicross.types import Encoder, Passage

TOPICS = {"squad": (3000, 3), "medquad": (4500, 3), "tldr": (4000, 3)}
"""With `--topics`: documents of each set, and queries that one of them answers, at most."""
STAGE1_WEIGHT = 0.3
"""The bi-encoder's share in the teacher; 0.2 to 0.4 is best on the dev queries in `results/rerank_quality.json`."""


def drawn_lists(
    sets: list[Labels], encoder: Encoder, folder: Path, share: float, negatives: int
) -> list[CandidateLists]:
    """By set: a relevant document, and others of the first 60 ranks.

    Args:
        sets: What is trained on.
        encoder: Finds the candidates.
        folder: Where they are kept.
        share: Of the lists; the same in every set.
        negatives: The others; with `NEGATIVES` the lists are those of `train_fast.py`.
    """
    parts = [split_held_out(labels, HELD_OUT, seed=SEED)[0] for labels in sets]
    mined = [search_candidates(labels, encoder, top_k=max(WINDOW), folder=folder) for labels in sets]
    groups = draw_groups(list(zip(parts, mined, strict=True)), 0, negatives, WINDOW, SEED)
    home = {query.text: part.name for part in parts for query in part.queries.values()}
    lists: dict[str, dict[str, ScoredList]] = {part.name: {} for part in parts}
    for group in groups:
        of_set, count = lists[home[group.query]], len(group.texts)
        scores, ranks = np.full(count, np.nan, np.float32), np.zeros(count, np.int32)
        labels, kinds = np.array(group.labels, np.float32), ("positive", *["dense"] * (count - 1))
        of_set[group.query] = ScoredList(group.query, group.query, group.texts, scores, labels, kinds, ranks)
    chosen = [list(of_set.values())[: int(share * len(of_set))] for of_set in lists.values()]
    return [CandidateLists(some, {text: text for one in some for text in one.document_ids}) for some in chosen]


def topic_sets(data: Path, docs: list[Passage], encoder: Encoder) -> list[Labels]:
    """Whole neighbourhoods of documents with their queries, and what `labelled_sets` has besides questions."""
    sets = []
    for name, (count, each) in TOPICS.items():
        everything = train_split(data, name)
        sets.append(neighbourhoods(everything, encoder, count, queries_each=each, seed=SEED))
        if name in AMOUNTS.halves:
            sets.append(extract_halves(everything, AMOUNTS.halves[name], seed=SEED))
    count = AMOUNTS.documentation
    return [*sets, titled(docs, count, seed=SEED), extract_halves(as_labels(docs), count, seed=SEED)]


def sentences(lists: list[CandidateLists], count: int) -> CandidateLists:
    """A seeded sample of the documents' sentences of 4 to 30 words: a light tower learns their words' vectors."""
    texts = sorted({text for one in lists for text in one.documents.values()})
    found = {text[start:end].strip() for text in texts for start, end in split_sentences(text, 0, len(text), "en")}
    fit = sorted(one for one in found if 4 <= len(one.split()) <= 30)
    chosen = np.random.default_rng(SEED).permutation(len(fit))[:count]
    return texts_alone([fit[place] for place in chosen.tolist()])


def parse() -> argparse.Namespace:
    parser = recipe_parser(__doc__)
    parser.add_argument("--towers", choices=("both", "query"), default="both")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--topics", action="store_true", help="lists of whole neighbourhoods of documents")
    parser.add_argument("--topic-lists", type=int, help="lists of one topic that stand together in a step")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--negatives", type=int, default=NEGATIVES, help="candidates of a list besides its positive")
    parser.add_argument("--halves-weight", type=float, default=STAGE1_WEIGHT, help="of the base, on halves")
    parser.add_argument("--held-out", type=int, default=HELD_OUT, help="lists of each set to choose the epoch by")
    parser.add_argument("--share", type=float, default=1.0, help="of the lists")
    parser.add_argument("--freeze-layers", type=int, default=0)
    parser.add_argument("--base-share", type=float, default=0.0, help="of the weights before training in the student")
    parser.add_argument("--layers", type=int, nargs="+", help="which of the query tower's layers are kept")
    parser.add_argument("--static", action="store_true", help="a table of token vectors as query tower")
    parser.add_argument("--sentences", type=int, default=0, help="of the documents, whose vectors a light tower keeps")
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
            sets = topic_sets(options.data, docs, searcher)
        else:
            sets = labelled_sets(options.data, docs, AMOUNTS, seed=SEED)
        lists = drawn_lists(sets, searcher, run_folder, options.share, options.negatives)
        scored = []
        for labels, one in zip(sets, lists, strict=True):
            of_base = options.halves_weight if labels.name.endswith("-halves") else STAGE1_WEIGHT
            logging.info("scoring %s: %d lists", labels.name, len(one))
            weights = [1 - of_base, of_base]
            scored.append(score_candidates(one, [teacher, encoder], weights=weights, cache_dir=options.cache))
        for labels, one in zip(sets, scored, strict=True):
            one.write(run_folder / f"{labels.name}.parquet")
        if options.sentences:
            scored.append(sentences(lists, options.sentences))
        report = train_bi_encoder(
            scored, encoder, out=options.out, settings=student_settings(options), cache=cache, run_folder=run_folder
        )
    print(json.dumps(asdict(report), indent=2, default=str))


if __name__ == "__main__":
    main()
