"""The stages of `distill`, one method each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from bicross.bi_encoder import BiEncoder
from bicross.caches import VectorCache
from bicross.cross_encoder import raw_fingerprint
from bicross.distillation.extracted import extract_sentences
from bicross.distillation.fitting import FORMAT as TRAINING_FORMAT
from bicross.distillation.flow_queries import divided, kept_for_gap, kept_made_queries, only_judged, without
from bicross.distillation.flow_settings import DistillSettings
from bicross.distillation.inputs import lists_from_scores
from bicross.distillation.labels import Labels
from bicross.distillation.list_batches import fingerprint, texts_alone
from bicross.distillation.lists import CandidateLists
from bicross.distillation.made_queries import QueryGenerator, keep_round_trips
from bicross.distillation.measuring import measure_pair
from bicross.distillation.mining import mine_candidates
from bicross.distillation.run_folder import RunFolder
from bicross.distillation.sampling import sample_lists
from bicross.distillation.scoring import check_telling, score_candidates, teacher_fingerprint
from bicross.distillation.student import train_bi_encoder
from bicross.evaluation.datasets import Dataset
from bicross.evaluation.gap import gap_report
from bicross.evaluation.runs import Run
from bicross.second_stage import SecondStage
from bicross.types import Encoder, Scorer


class Flow:
    """One call of `distill`: its data and models, and what each stage does with them."""

    def __init__(
        self,
        run: RunFolder,
        labels: Labels,
        teacher: Scorer | None,
        base: BiEncoder,
        settings: DistillSettings,
        cache: Path,
        test: Dataset | None,
        generator: QueryGenerator | None,
        show_progress: bool | None,
        scores: Run | None = None,
    ) -> None:
        self.run, self.base, self.settings = run, base, settings
        self.teacher, self.cache, self.show = teacher, cache, show_progress
        self.weight = 0.0 if teacher is None else SecondStage(teacher, settings.stage1_weight).stage1_weight
        self.made = not labels.queries
        self.test = test
        if self.made:
            self.labels = without(kept_made_queries(run, labels, settings, generator, show_progress), test)
        else:
            self.labels, self.test = divided(labels, test, settings)
        self.gap_data = self.test
        if self.gap_data is None and teacher is not None:
            self.labels, self.gap_data = kept_for_gap(self.labels, settings)
        self.given: CandidateLists | None = None
        if scores is not None:
            trained = {query_id: scores[query_id] for query_id in self.labels.queries if query_id in scores}
            self.given = lists_from_scores(trained, self.labels)
            if settings.needs_teacher:
                check_telling(self.given, self.given.scores)
        elif teacher is None:
            self.labels = only_judged(self.labels)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """How much of what there is, for the reader."""
        trained = self.labels.queries
        if self.given is not None:
            trained = {one.query_id: trained[one.query_id] for one in self.given}
        judged = sum(bool(query.positives) for query in trained.values())
        return {
            "documents": len(self.labels.searched),
            "queries": len(trained),
            "judged": judged,
            "made": self.made,
            "test": None if self.test is None else {"name": self.test.name, "queries": len(self.test.queries)},
            "fingerprint": self.labels.fingerprint,
            "left_out": dict(self.labels.left_out),
        }

    def measure(self, name: str, student: BiEncoder | None) -> dict[str, Any] | None:
        """Base, teacher (where there is one) and student on the test queries; None where there are none."""
        test, depth = self.test, self.settings.depth
        if test is None:
            return None

        def measured() -> dict[str, Any]:
            return measure_pair(
                self.base,
                self.teacher,
                test,
                student=student,
                stage1_weight=self.weight,
                candidates=depth,
                cache_dir=self.cache,
                show_progress=self.show,
            )

        inputs = self._fingerprints(student) | {"test": test.fingerprint, "depth": depth}
        return self.run.stage(name, inputs, measured)

    def gap(self, name: str, file: str, student: BiEncoder) -> dict[str, Any] | None:
        """The gap report of a student, as a page, as JSON and as a few figures.

        None where none is asked for, where there is no teacher, or too few queries to keep some from training.
        """
        settings, data, teacher = self.settings, self.gap_data, self.teacher
        if not settings.gap_queries or data is None or teacher is None:
            return None

        def report() -> dict[str, Any]:
            found = gap_report(
                student,
                teacher,
                data,
                queries=settings.gap_queries,
                pool=settings.gap_pool,
                candidates=min(settings.depth, settings.gap_pool),
                stage1_weight=self.weight,
                timing=False,
                cache_dir=self.cache,
                seed=settings.seed,
                show_progress=self.show,
            )
            found.to_html(self.run.folder / f"{file}.html")
            (self.run.folder / f"{file}.json").write_text(found.to_json(), encoding="utf-8")
            deepest = [point for point in found.recall if point.k <= settings.depth]
            return {
                "queries": min(settings.gap_queries, len(data.queries)),
                "spearman": found.agreement.spearman.mean,
                "teacher_top10_in": {str(p.k): p.cross_encoder for p in deepest[-1:]},
                "recommended_candidates": found.recommended_candidates,
            }

        shape = {"asked": settings.gap_queries, "pool": settings.gap_pool, "depth": settings.depth}
        inputs = self._fingerprints(student) | shape | {"data": data.fingerprint, "seed": settings.seed}
        return self.run.stage(name, inputs, report, outputs=[f"{file}.html", f"{file}.json"])

    def round(self, number: int, student: BiEncoder) -> tuple[dict[str, Any], Path]:
        """Mine, score, sample, train. Returns the training's figures and the new student's folder.

        Lists that were given are neither mined nor scored; without a teacher, they aren't scored.
        """
        folder = self.run.folder / f"round-{number}"
        if (given := self.given) is not None:
            self._sample(number, folder, lambda: given, fingerprint([given]))
        elif self.teacher is None:
            self._mine(number, student, folder)
            self._sample(number, folder, partial(_ranked, folder / "mined.parquet"), self.run.hash_of(f"mine {number}"))
        else:
            self._mine(number, student, folder)
            self._score(number, self.teacher, folder)
            scored = partial(CandidateLists.read, folder / "scored.parquet")
            self._sample(number, folder, scored, self.run.hash_of(f"score {number}"))
        return self._train(number, student, folder), folder / "student"

    def _mine(self, number: int, student: BiEncoder, folder: Path) -> None:
        mining = self.settings.mining_for(made=self.made)

        def mine() -> dict[str, Any]:
            lists = mine_candidates(
                self.labels, student, settings=mining, language=self.settings.language, cache_dir=self.cache,
                show_progress=self.show,
            )  # fmt: skip
            lists.write(folder / "mined.parquet")
            kinds, counts = np.unique([kind for one in lists for kind in one.kinds], return_counts=True)
            return {
                "lists": len(lists),
                "pairs": lists.pairs,
                "kinds": dict(zip(kinds.tolist(), counts.tolist(), strict=True)),
            }

        prints = [student.document_fingerprint, student.query_fingerprint]
        inputs = {"data": self.labels.fingerprint, "student": prints, "mining": asdict(mining)}
        inputs["language"] = self.settings.language
        self.run.stage(f"mine {number}", inputs, mine, outputs=self._files(number, "mined"))

    def _score(self, number: int, teacher: Scorer, folder: Path) -> None:
        models: Sequence[Scorer | Encoder] = [teacher, self.base] if self.weight else [teacher]
        weights = [1 - self.weight, self.weight] if self.weight else [1.0]

        def score() -> dict[str, Any]:
            lists = CandidateLists.read(folder / "mined.parquet")
            scored = score_candidates(lists, models, weights=weights, cache_dir=self.cache, show_progress=self.show)
            scored = keep_round_trips(scored) if self.made else scored
            scored.write(folder / "scored.parquet")
            return {"lists": len(scored), "pairs": lists.pairs, "round_trip": scored.metadata.get("round_trip")}

        inputs = {"mined": self.run.hash_of(f"mine {number}"), "teacher": teacher_fingerprint(models, weights)}
        self.run.stage(f"score {number}", inputs, score, outputs=self._files(number, "scored"))

    def _sample(self, number: int, folder: Path, read: Callable[[], CandidateLists], identity: str) -> None:
        settings, ranked = self.settings, self.teacher is None and self.given is None
        how: dict[str, Any] = {
            "count": settings.candidates,
            "strategy": settings.strategy,
            "false_negatives": None if ranked else settings.false_negatives,
            "seed": settings.seed,
        }

        def sample() -> dict[str, Any]:
            lists = sample_lists(read(), **how)
            if ranked:  # ranks are no scores to learn from
                lists = lists.with_scores(np.full(lists.pairs, np.nan, dtype=np.float32))
            lists.write(folder / "lists.parquet")
            return {"lists": len(lists), "pairs": lists.pairs}

        inputs = {"scored": identity, **how}
        self.run.stage(f"sample {number}", inputs, sample, outputs=self._files(number, "lists"))

    def _train(self, number: int, student: BiEncoder, folder: Path) -> dict[str, Any]:
        settings, lists = self.settings.training, self.run.found(f"sample {number}")["lists"]
        settings = replace(settings, held_out=max(min(settings.held_out, lists // 5), 1))
        if number > 1 and isinstance(settings.layers, tuple):
            settings = replace(settings, layers=len(settings.layers))  # the student has these layers alone
        # Two steps an epoch at least: after hours of scoring, few lists are no reason to fail.
        batch = min(settings.trainer.batch_size, max((lists - settings.held_out) // 2, 1))
        settings = replace(settings, training=replace(settings.trainer, batch_size=batch))
        kept = self.settings.kept_sentences
        shown = sys.stderr.isatty() if self.show is None else self.show

        def train() -> dict[str, Any]:
            mined = CandidateLists.read(folder / "lists.parquet")
            with VectorCache(self.cache) as cache:
                report = train_bi_encoder(
                    [mined, texts_alone(self._sentences(kept))] if kept else mined,
                    student,
                    out=folder / "student",
                    settings=replace(settings, training=replace(settings.trainer, show_progress=shown)),
                    cache=cache,
                    run_folder=folder / "training",
                )
            values = asdict(report)
            return {name: value for name, value in values.items() if name not in {"folder", "losses"}}

        prints = [student.document_fingerprint, student.query_fingerprint]
        recipe = asdict(settings) | {"losses": dict(settings.weights), "training": settings.trainer.recipe}
        inputs = {
            "lists": self.run.hash_of(f"sample {number}"),
            "student": prints,
            "settings": recipe,
            "format": TRAINING_FORMAT,  # what another version began is trained anew
        }
        if kept:
            inputs["sentences"] = [kept, self.settings.language, self.labels.fingerprint]
        place = f"round-{number}"
        return self.run.stage(
            f"train {number}", inputs, train, outputs=[f"{place}/student"], state=[f"{place}/training"]
        )

    def _sentences(self, count: int) -> list[str]:
        texts = [*self.labels.searched.values()]
        return extract_sentences(texts, count, language=self.settings.language, seed=self.settings.seed)

    def _files(self, number: int, name: str) -> list[str]:
        return [f"round-{number}/{name}.parquet", f"round-{number}/{name}.documents.parquet"]

    def _fingerprints(self, student: BiEncoder | None) -> dict[str, Any]:
        models = [self.base] if student is None else [self.base, student]
        return {
            "bi_encoders": [[model.document_fingerprint, model.query_fingerprint] for model in models],
            "teacher": None if self.teacher is None else [raw_fingerprint(self.teacher), self.weight],
        }


def _ranked(path: Path) -> CandidateLists:
    """Mined lists with ranks in place of scores: judged documents first, then as they were found, random ones last."""
    lists = CandidateLists.read(path)
    ranks = np.concatenate([one.ranks for one in lists]).astype(np.float32)
    judged = np.isfinite(np.concatenate([one.labels for one in lists]))
    return lists.with_scores(np.where(judged, 0.0, np.where(ranks > 0, -ranks, -np.inf)))
