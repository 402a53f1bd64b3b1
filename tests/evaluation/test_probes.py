"""Probes, by numbers worked by hand, and rankers that see nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bicross import BiEncoder, CrossEncoder
from bicross.cli import app
from bicross.errors import ConfigurationError, InputError, InputTypeError, ReadError
from bicross.evaluation import probe
from bicross.evaluation.contrasts import read_contrasts
from bicross.evaluation.probe_figures import weighted_auc
from bicross.types import Floats
from judge import Judge
from tiny_data import write_beir


def row(query: str, pos: str, neg: str, group: str, **more: str) -> dict[str, str]:
    return {"query": query, "pos": pos, "neg": neg, "group": group, **more}


def table(**scores: float) -> Judge:
    """A scorer of texts, whatever the query."""
    return Judge(lambda _query, text: scores[text])


UNEQUAL = [
    row("q1", "a", "b", "one"),
    row("q2", "a", "b", "two"),
    row("q2", "a", "c", "two"),
    row("q3", "a", "b", "pair"),
    row("q4", "b", "a", "pair"),
]
"""Groups of one negative (chance 1/2), of two (1/3), and a pair of documents either way round (1/4)."""


def test_accuracy_whole_groups_and_chance_by_hand() -> None:
    report = probe(UNEQUAL, None, table(a=3.0, b=1.0, c=4.0))
    figures = report.cross_encoder
    assert figures is not None
    assert (report.rows, report.comparisons, report.groups) == (5, 5, 3)
    assert figures.accuracy == pytest.approx(3 / 5)  # right: q1, q2 over b, q3
    assert figures.group_accuracy == pytest.approx(1 / 3)
    assert figures.chance == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 3)
    assert report.bi_encoder is None
    assert report.two_stage is None


def test_a_tie_counts_as_what_breaking_it_by_lot_gives() -> None:
    figures = probe(UNEQUAL, None, table(a=3.0, b=3.0, c=1.0)).cross_encoder
    assert figures is not None
    assert figures.ties == 4
    assert figures.accuracy == pytest.approx((4 * 0.5 + 1) / 5)
    # "two": a above c, and a tie with b alone
    assert figures.group_accuracy == pytest.approx((1 / 2 + 1 / 2 + 1 / 4) / 3)


def test_a_constant_ranker_is_at_chance_exactly() -> None:
    questions = {"doc": "d", "answerable": ["x", "y"], "unanswerable": ["u", "v", "w"]}
    figures = probe([*UNEQUAL, questions], None, Judge(lambda *_: 0.25)).cross_encoder
    assert figures is not None
    assert figures.accuracy == 0.5
    assert figures.group_accuracy == pytest.approx(figures.chance)
    assert figures.chance == pytest.approx((1 / 2 + 1 / 3 + 1 / 4 + 1 / 10) / 4)
    assert figures.auc == 0.5


def test_a_random_ranker_is_at_chance() -> None:
    rng = np.random.default_rng(3)
    rows = []
    for i in range(150):
        rows += [row(f"q{i}", f"a{i}", f"b{i}", f"pair{i}"), row(f"r{i}", f"b{i}", f"a{i}", f"pair{i}")]
        rows += [row(f"s{i}", f"a{i}", f"{letter}{i}", f"three{i}") for letter in "bcd"]
    report = probe(rows, None, Judge(lambda *_: float(rng.normal())))
    figures = report.cross_encoder
    assert figures is not None
    assert figures.chance == pytest.approx(1 / 4)
    assert figures.interval[0] < 0.5 < figures.interval[1]
    assert figures.group_interval[0] < 0.25 < figures.group_interval[1]
    assert figures.auc_interval[0] < 0.5 < figures.auc_interval[1]
    assert figures.group_interval[1] - figures.group_interval[0] < 0.12


def test_the_auc_with_ties_counts_every_pair() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 5, size=40).astype(float)
    better = rng.random(40) < 0.4
    pairs = list(product(scores[better], scores[~better]))
    expected = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs) / len(pairs)
    twice = rng.integers(0, 3, size=40).astype(float)
    repeated = [(a, b, m * n) for a, m in zip(scores[better], twice[better], strict=True)
                for b, n in zip(scores[~better], twice[~better], strict=True)]  # fmt: skip
    weighted = sum(w * (1.0 if a > b else 0.5 if a == b else 0.0) for a, b, w in repeated) / sum(
        w for *_, w in repeated
    )
    found = weighted_auc(scores, better, np.stack([np.ones(40), twice]))
    assert found == pytest.approx([expected, weighted])


def test_answerable_questions_against_unanswerable_ones() -> None:
    rows = [
        {"id": "p", "title": "T", "doc": "text", "answerable": [{"id": "1", "text": "a"}, {"id": "2", "text": "b"}],
         "unanswerable": [{"id": "3", "text": "c"}, {"id": "4", "text": "b"}]},
        {"id": "r", "doc": "other", "answerable": ["e"], "unanswerable": []},
    ]  # fmt: skip
    asked: list[str] = []
    scores = {"a": 2.0, "c": 1.0, "e": 0.0}
    report = probe(rows, None, Judge(lambda query, text: (asked.append(text), scores[query])[1]))
    figures = report.cross_encoder
    assert figures is not None
    assert report.left_out == 1  # "b" is called both
    assert (report.rows, report.comparisons, report.groups) == (2, 1, 1)
    assert figures.accuracy == 1.0
    assert figures.auc == 0.5  # "a" is above "c", "e" below
    assert set(asked) == {"T text", "other"}


def test_intervals_are_over_groups_not_rows() -> None:
    rows = [row(f"q{g}", f"a{g}", f"{n}{g}", f"g{g}") for g in range(40) for n in range(10)]
    judge = Judge(
        lambda _query, text: float(text.startswith("a")) * (1 if int(text[1:]) % 2 else -1) if text[0] == "a" else 0.0
    )
    figures = probe(rows, None, judge).cross_encoder
    assert figures is not None
    assert figures.accuracy == 0.5
    # 40 groups that are wholly right or wrong: as wide as for 40 rows, not for 400
    assert figures.interval[1] - figures.interval[0] == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 40), abs=0.05)


def test_kinds_and_what_several_of_them_share() -> None:
    kinds = ["g:1:0", "g:1:100", "g:10:0", "other"]
    rows = [row(f"q{i}", "a", "b", str(i), kind=kind) for i, kind in enumerate(kinds)]
    report = probe(rows, None, table(a=1.0, b=0.0))
    assert list(report.kinds) == ["g", "g:1", "g:1:0", "g:1:100", "g:10:0", "other"]
    assert report.kinds["g"].comparisons == 3
    assert probe(rows[:1], None, table(a=1.0, b=0.0)).kinds == {}


def test_failures_come_worst_first_and_ties_are_among_them() -> None:
    rows = [row("q", pos, neg, pos, id=pos) for pos, neg in [("a", "b"), ("c", "d"), ("e", "f"), ("g", "h")]]
    report = probe(rows, None, table(a=0, b=1, c=5, d=1, e=2, f=2, g=0, h=9))
    found = report.failures["cross_encoder"]
    assert [item.id for item in found] == ["g", "a", "e"]
    assert (found[0].better, found[0].worse, found[0].scores) == (("q", "g"), ("q", "h"), (0.0, 9.0))
    assert len(report.as_dict(failures=2)["failures"]["cross_encoder"]) == 2
    json.dumps(report.as_dict())


class Vectors:
    """A bi-encoder of two dimensions that knows its texts by heart."""

    document_fingerprint = "vectors"
    vectors = {"q": (1.0, 0.0), "a": (1.0, 0.0), "b": (0.0, 1.0), "c": (-1.0, 0.0)}  # noqa: RUF012

    def encode_query(self, texts: str | Sequence[str], /) -> Floats:
        return np.array([self.vectors[text] for text in texts], dtype=np.float32)

    encode_document = encode_query


def test_two_stages_are_scaled_over_the_whole_probe() -> None:
    rows = [row("q", "a", "b", "1"), row("q", "c", "b", "2")]
    report = probe(rows, Vectors(), table(a=0.0, b=3.0, c=6.0), stage1_weight=0.5)
    assert report.bi_encoder is not None
    assert report.bi_encoder.accuracy == 0.5  # cosines 1, 0, −1
    assert report.stage1_weight == 0.5
    # Scaled to the logits, the cosines are 6, 3, 0: every sum is 3.
    assert report.two_stage is not None
    assert (report.two_stage.accuracy, report.two_stage.ties) == (0.5, 2)
    tilted = probe(rows, Vectors(), Judge(lambda _q, t: {"a": 0.0, "b": 3.0, "c": 6.0}[t], stage1_weight=0.75))
    assert tilted.two_stage is not None
    assert [item.better[1] for item in tilted.failures["two_stage"]] == ["c"]
    assert tilted.failures["two_stage"][0].scores == pytest.approx((1.5, 3.0))


def test_the_best_passage_speaks_for_a_text_that_is_split() -> None:
    beginning = Judge(lambda _query, text: float("answer" in text[:10]))
    rows = [row("q", "much noise. an answer", "much noise. more noise", "1")]
    for cut, accuracy in ((None, 0.5), (lambda text: text.split(". "), 1.0)):
        figures = probe(rows, None, beginning, split=cut).cross_encoder
        assert figures is not None
        assert figures.accuracy == accuracy
    report = probe(
        [row("q", "a c", "b", "1")], Vectors(), table(a=0.0, b=3.0, c=6.0), stage1_weight=0.5, split=str.split
    )
    found = (report.bi_encoder, report.cross_encoder, report.two_stage)
    # "a" is nearest, "c" has the best logit; summed, no passage beats another
    assert [figures.accuracy for figures in found if figures is not None] == [1.0, 1.0, 0.5]


def test_real_encoders_give_their_own_scores(bi_encoder: BiEncoder, cross_encoder: CrossEncoder) -> None:
    rows = [row("a cat", "the cat sits", "no cat sits", "1"), row("a dog", "the dog", "every dog", "1")]
    report = probe(rows, bi_encoder, cross_encoder)
    failed = {item.better for item in report.failures["bi_encoder"]}
    for item in rows:
        near = bi_encoder.similarity(
            bi_encoder.encode_query(item["query"]), bi_encoder.encode_document([item["pos"], item["neg"]])
        )
        assert ((item["query"], item["pos"]) in failed) == (near[0, 0] <= near[0, 1])
    for found in report.failures["cross_encoder"]:
        assert found.scores == pytest.approx(
            cross_encoder.predict([found.better, found.worse], activation="identity"), abs=1e-5
        )


def test_what_was_scored_is_never_scored_again(tmp_path: Path) -> None:
    judge = table(a=3.0, b=1.0, c=4.0)
    first = probe(UNEQUAL, None, judge, cache_dir=tmp_path)
    asked = judge.asked
    assert probe(UNEQUAL, None, judge, cache_dir=tmp_path) == first
    assert judge.asked == asked == 9  # of ten pairs, two are one


def test_words_alone_are_measured_beside_the_models() -> None:
    rows = [row("red bird", "a red bird", "a blue bird", "1"), row("red bird", "a bird", "one bird", "2")]
    words = probe(rows, None, Judge(lambda *_: 0.0)).words
    assert (words.accuracy, words.ties) == (0.75, 1)


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([], InputError, "at least one comparison"),
        ([{"query": "q", "pos": "a"}], InputError, "'neg' must be a text, got None"),
        ([row("q", "a", "a", "g")], InputError, "must differ"),
        ([row("q", "a", "b", "g"), row("q", "b", "c", "g")], InputError, "group of its own"),
        ([row("q", "a", "b", "g"), row("q", "c", "b", "g"), row("q", "c", "d", "g")], InputError, "group of its own"),
        (["q"], InputTypeError, "must be a mapping, got str at position 0"),
        ([{"doc": "d", "answerable": "q", "unanswerable": []}], InputTypeError, "must be a list of questions"),
    ],
)
def test_rows_that_say_nothing_are_refused(rows: list, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read_contrasts(rows)


def test_bad_arguments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="got neither"):
        probe(UNEQUAL)
    with pytest.raises(ConfigurationError, match="stage1_weight"):
        probe(UNEQUAL, None, table(a=1.0), stage1_weight=2.0)
    with pytest.raises(InputError, match="split must leave a passage of every text, got none of 'a'"):
        probe(UNEQUAL, None, table(a=1.0), split=lambda _text: [])
    with pytest.raises(InputError, match="must be finite"):
        probe(UNEQUAL, None, Judge(lambda *_: float("nan")))
    with pytest.raises(ReadError, match="missing"):
        probe(tmp_path / "none.jsonl", None, table(a=1.0))
    (tmp_path / "rows.jsonl").write_text('{"query": "q", "pos": "", "neg": "b"}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"rows.jsonl, line 1: 'pos' must be a text, got ''"):
        probe(tmp_path / "rows.jsonl", None, table(a=1.0))


def test_the_command_prints_json_and_a_table(bi_folder: Path, cross_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "probe.jsonl"
    rows = [
        row("a cat", "the cat sits", "no cat sits", "1", kind="x"),
        row("a dog", "the dog", "no dog", "2", kind="y"),
    ]
    file.write_text("".join(json.dumps(item) + "\n" for item in rows), encoding="utf-8")
    command = ["probe", str(file), "--bi", str(bi_folder), "--device", "cpu", "--cache", str(tmp_path / "cache")]
    done = CliRunner().invoke(app, [*command, "--cross", "none", "--json"])
    values = json.loads(done.stdout)
    assert (values["rows"], values["groups"], values["cross_encoder"]) == (2, 2, None)
    assert {"accuracy", "group_accuracy", "chance", "auc", "interval"} <= values["bi_encoder"].keys()
    done = CliRunner().invoke(app, [*command, "--cross", str(cross_folder)])
    assert "two stages" in done.stdout
    assert "x: 1 comparisons" in done.stdout


def test_the_command_refuses_what_makes_no_sense(tmp_path: Path) -> None:
    for arguments in ([], ["f.jsonl", "--generate", "quantifiers", "--from", "d"], ["--generate", "quantifiers"]):
        assert isinstance(CliRunner().invoke(app, ["probe", *arguments]).exception, ConfigurationError)
    wrong = CliRunner().invoke(app, ["probe", "--generate", "jokes", "--from", str(tmp_path)])
    assert "must be quantifiers or grounding" in str(wrong.exception)
    data = write_beir(tmp_path / "data")  # no quantifiers in it
    for more, message in (([], "holds a quantifier that can be swapped"), (["--out", str(tmp_path)], "it is a folder")):
        wrong = CliRunner().invoke(app, ["probe", "--generate", "quantifiers", "--from", str(data), *more])
        assert message in str(wrong.exception)
