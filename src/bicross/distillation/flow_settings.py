"""The settings of `distill`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from bicross.arguments import check_count
from bicross.distillation.made_queries import WAYS, check_ways
from bicross.distillation.mining import MiningSettings, Window
from bicross.distillation.sampling import STRATEGIES
from bicross.distillation.student_settings import StudentSettings
from bicross.errors import ConfigurationError

_ROUND_TRIP = 30


@dataclass(frozen=True, slots=True)
class DistillSettings:
    """What `distill` mines, scores, trains and measures.

    Attributes:
        mining: What a list is mined from, widened where it draws fewer than ``candidates``; its seed is replaced by
            ``seed``.
        candidates: Candidates of a list that are trained on; see `sample_lists`.
        strategy: "stratified" or "hard"; see `sample_lists`.
        false_negatives: See `sample_lists`; None keeps all.
        student: What the student is, and how it is trained; the seed of its training is replaced by ``seed``.
        sentences: Sentences of the corpus whose vectors a light query tower keeps (`StudentSettings.light`, the loss
            "anchor"): of a few thousand queries it would learn few words. 0: none.
        queries: A seeded sample of so many queries is used; None: all.
        made: How many queries are made where there are none.
        ways: How they are made; see `make_queries`.
        language: Of the corpus, for the borders of sentences and for BM25. ISO 639-1 code.
        stage1_weight: The bi-encoder's share in the teacher; None: the cross-encoder's own.
        held_out: Queries that are kept from training and measured on, where no other queries are given for it.
        depth: Candidates that the teacher reorders where it is measured.
        least_gain: nDCG@10 that the teacher must gain over the bi-encoder, so that there is something to distil.
        gap_queries: Queries of the two gap reports; 0: none are made.
        gap_pool: Documents of each of them that the teacher scores.
        seed: Of every draw.
        license: Of the student, for its card, as the model hub names it, such as "mit"; None: what the card in the
            base's folder states, if any.
    """

    mining: MiningSettings = field(default_factory=MiningSettings)
    candidates: int = 16
    strategy: str = "stratified"
    false_negatives: float | None = 0.95
    student: StudentSettings = field(default_factory=StudentSettings)
    sentences: int = 100_000
    queries: int | None = None
    made: int = 4000
    ways: tuple[str, ...] = WAYS
    language: str = "en"
    stage1_weight: float | None = None
    held_out: int = 200
    depth: int = 100
    least_gain: float = 0.01
    gap_queries: int = 20
    gap_pool: int = 200
    seed: int = 0
    license: str | None = None

    def __post_init__(self) -> None:
        counts = {"candidates": self.candidates, "made": self.made, "held_out": self.held_out, "depth": self.depth}
        for name, value in counts.items():
            check_count(value, name)
        check_ways(self.ways)
        if self.queries is not None:
            check_count(self.queries, "queries")
        if self.candidates < 2:
            raise ConfigurationError(
                f"A list to learn an order from has two candidates or more; got candidates={self.candidates!r}."
            )
        if self.false_negatives is not None and not 0 < self.false_negatives <= 1:
            raise ConfigurationError(
                f"false_negatives is a share above 0 and up to 1, or None; got {self.false_negatives!r}."
            )
        if self.strategy not in STRATEGIES:
            raise ConfigurationError(f"strategy must be one of {STRATEGIES!r}; got {self.strategy!r}.")
        if self.sentences < 0:
            raise ConfigurationError(f"sentences must be 0 or more; got {self.sentences!r}.")
        if self.gap_queries < 0 or self.gap_pool < 1:
            raise ConfigurationError(
                f"gap_queries must be 0 or more and gap_pool 1 or more; got {self.gap_queries!r} and {self.gap_pool!r}."
            )

    def mining_for(self, *, made: bool) -> MiningSettings:
        """What is mined: for made queries the first 29 dense ranks too, which the source has to stand up against."""
        settings = replace(self.mining.widened(self.candidates), seed=self.seed)
        if not made:
            return settings
        behind = tuple(window for window in settings.dense if window.last >= _ROUND_TRIP)
        rest = tuple(Window(max(window.first, _ROUND_TRIP), window.last, window.draw) for window in behind)
        return replace(settings, dense=(Window(1, _ROUND_TRIP - 1, _ROUND_TRIP - 1), *rest))

    @property
    def training(self) -> StudentSettings:
        """The student's settings with this seed."""
        return replace(self.student, training=replace(self.student.trainer, seed=self.seed))

    @property
    def kept_sentences(self) -> int:
        """Sentences of the corpus that are trained on, at most."""
        return self.sentences if self.student.light and self.student.weights.get("anchor") else 0

    @property
    def needs_teacher(self) -> bool:
        """Whether a loss learns from the teacher's scores."""
        return self.student.learns_scores

    def asks_teacher(self, *, made: bool) -> bool:
        """Whether the teacher is asked at all: made queries need it for their round trip, whatever the losses."""
        return made or self.needs_teacher

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        values = asdict(self)
        values["student"] |= {"losses": dict(self.student.weights), "training": self.student.trainer.recipe}
        return values
