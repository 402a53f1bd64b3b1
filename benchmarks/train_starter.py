"""Trains the starter cross-encoder: the recipe of `models/starter-cross-encoder`, with every setting.

    python benchmarks/train_starter.py --out models/starter-cross-encoder

(The weights in `models/` were trained without the groups of denials and quantifiers, which came later.)
Reads the train splits of squad, medquad and tldr and the probes' training files from `--data`, `$BICROSS_DATA` or
`../shared/data`, and the documentation of the installed packages. Run again after an interruption, it goes on from its
last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from cached_encoder import CachedEncoder
from common import data_folder
from minimal_pairs import denial_groups, negation_groups, quantifier_groups
from starter_material import as_labels, documentation, near_groups, titled, without_overlap

from bicross import BiEncoder
from bicross.caches import VectorCache
from bicross.distillation.extracted import extract_halves
from bicross.distillation.labels import Labels, read_labels
from bicross.distillation.reranker import RerankerReport, train_reranker
from bicross.distillation.trainer import Group, TrainingSettings
from bicross.types import Encoder, Passage
from bicross.whole_file import whole_file

logger = logging.getLogger(__name__)

SEED = 7


@dataclass(frozen=True)
class Amounts:
    """How much of each kind of material is drawn.

    Attributes:
        queries: Queries drawn from each train split.
        halves: Queries made of the documents that those are answered by: long ones, and statements.
        documentation: Queries made of titles of documentation, and as many of its halves.
    """

    queries: Mapping[str, int]
    halves: Mapping[str, int]
    documentation: int


AMOUNTS = Amounts({"squad": 2000, "medquad": 2000, "tldr": 4500}, {"squad": 400, "medquad": 400}, 500)
"""Of these, `HELD_OUT` of each set are trained on by nobody."""
NEAR = 1200
"""Passages whose neighbours the bi-encoder's similarity is learnt on."""
NEGATIONS, DENIALS, QUANTIFIERS = 1500, 2500, 1000
HELD_OUT = 45
SETTINGS = TrainingSettings(batch_size=16, learning_rate=6e-5, warmup=0.1, max_length=160, save_steps=40, seed=SEED)


def train_split(data: Path, name: str) -> Labels:
    """All queries that may be trained on, and the documents."""
    everything = read_labels(data / name, split="train", name=name)
    if name == "medquad":
        everything, dropped = without_overlap(everything, _texts(data / "mediqa2019-qa"))
        logger.info("medquad: %d documents share 200 characters with mediqa2019-qa and are left out", dropped)
    return everything


def labelled_sets(data: Path, docs: list[Passage], amounts: Amounts, *, seed: int) -> list[Labels]:
    """The sets that are trained on."""
    sets = []
    for name, count in amounts.queries.items():
        everything = train_split(data, name)
        sets.append(everything.sample(count, seed=seed))
        if name in amounts.halves:
            sets.append(extract_halves(everything, amounts.halves[name], seed=seed))
    return [
        *sets,
        titled(docs, amounts.documentation, seed=seed),
        extract_halves(as_labels(docs), amounts.documentation, seed=seed),
    ]


def _texts(folder: Path) -> Iterator[str]:
    with (folder / "corpus.jsonl").open(encoding="utf-8") as file:
        for row in map(json.loads, file):
            yield f"{row.get('title') or ''} {row['text']}"


def soft_groups(data: Path, sets: list[Labels], docs: list[Passage], encoder: Encoder) -> list[Group]:
    """Groups without judgments: neighbours in three kinds of text, and minimal pairs."""
    known = {labels.name: labels for labels in sets}
    both = [known[name] for name in ("squad", "medquad")]
    texts = {labels.name: labels.documents for labels in [*both, as_labels(docs)]}
    answering = {key for labels in both for query in labels.queries.values() for key in query.positives}
    answers = {key: text for labels in both for key, text in labels.documents.items() if key in answering}
    probes = data / "probes"
    return [
        *near_groups(texts, encoder, NEAR, seed=SEED),
        *negation_groups(probes, NEGATIONS, seed=SEED),
        *denial_groups(probes, DENIALS, seed=SEED),
        *quantifier_groups(answers, QUANTIFIERS, seed=SEED),
    ]


def kept_documentation(encoder: BiEncoder, file: Path) -> list[Passage]:
    """The documentation that the run began with: packages may come and go before it is continued."""
    if not file.exists():
        rows = [json.dumps([p.id, p.title, p.text]) for p in documentation(encoder, seed=SEED)]
        with whole_file(file) as part:
            part.write_text("\n".join(rows), encoding="utf-8")
    rows = file.read_text(encoding="utf-8").splitlines()
    return [Passage(text, id=key, title=title) for key, title, text in map(json.loads, rows)]


def train(
    data: Path, out: Path, base: str | Path, encoder: BiEncoder, searcher: Encoder, *, run_folder: Path | None = None
) -> RerankerReport:
    """The recipe.

    Args:
        data: Folder of the sets.
        out: The model's folder.
        base: Weights to begin with.
        encoder: Counts tokens.
        searcher: Finds the negatives; the same model, perhaps with vectors that are kept.
        run_folder: See `train_reranker`.
    """
    run_folder = run_folder or out.with_name(f"{out.name}.run")
    docs = kept_documentation(encoder, run_folder / "documentation.jsonl")
    sets = labelled_sets(data, docs, AMOUNTS, seed=SEED)
    return train_reranker(
        sets,
        out=out,
        base=base,
        bi_encoder=searcher,
        loss="listwise",
        negatives=3,
        window=(3, 60),
        candidates=60,
        epochs=1,
        held_out=HELD_OUT,
        weight_tolerance=0.015,
        inference_length=256,
        settings=SETTINGS,
        further=soft_groups(data, sets, docs, searcher),
        run_folder=run_folder,
    )


def main() -> None:
    """Reads the command line and trains."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--run-folder", type=Path, help="default: OUT.run")
    parser.add_argument("--cache", type=Path, default=Path(".bicross/cache"), help="folder of the vectors")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    encoder = BiEncoder.load("minilm")
    base = encoder.checkpoint.document.encoder
    with VectorCache(arguments.cache) as cache:
        searcher = CachedEncoder(encoder, cache)
        report = train(arguments.data, arguments.out, base.folder, encoder, searcher, run_folder=arguments.run_folder)
    print(json.dumps(asdict(report), indent=2, default=str))


if __name__ == "__main__":
    main()
