"""`bench` on tiny models, its check of the rule and its advice on given figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bicross import BiEncoder
from bicross.benchmarking import Beside, Row, bench, installed_kinds, interleave, machine
from bicross.benchmarking.kinds import automatic_kinds
from bicross.benchmarking.limit import arithmetic, matrix_rate
from bicross.benchmarking.report import advise, check_auto
from bicross.cli import app
from bicross.encoding import hardware
from bicross.encoding.backends.choosing import Choice
from bicross.errors import ConfigurationError, InputError

pytestmark = pytest.mark.long

TEXTS = [f"the {word} sits near the river . " * (1 + i % 5) for i, word in enumerate(["cat", "dog", "stone"] * 6)]
KIND = [("torch", "float32"), ("torch", "bfloat16")]


@pytest.fixture(scope="module")
def report(bi_folder: Path, cross_folder: Path):
    ones = Beside("ones", lambda texts: np.ones((len(texts), 32)), lambda text: np.ones(32))
    return bench(
        TEXTS, bi=str(bi_folder), cross=str(cross_folder), pairs=7, rounds=2, kinds=KIND, device="cpu", beside=[ones]
    )


def test_every_kind_has_a_row_and_what_stands_beside_has_what_it_can(report) -> None:
    assert [(row.name, row.backend) for row in report.rows] == [
        ("ones", None),
        ("torch float32", "torch"),
        ("torch bfloat16", "torch"),
    ]
    ones, exact, half = report.rows
    assert (exact.worst_cosine, exact.worst_logit_difference) == (pytest.approx(1, abs=1e-6), 0.0)
    assert 0.99 < half.worst_cosine < 1
    assert 0 < half.worst_logit_difference < 0.1
    assert ones.worst_cosine < 0.9
    assert (ones.pairs_ms, ones.limit_share, ones.shares) == (None, None, {})
    assert exact.passages_per_second == pytest.approx(len(TEXTS) / exact.bulk_ms * 1e3)
    assert exact.tokens_per_second / exact.passages_per_second == pytest.approx(report.settings["mean_tokens"])
    assert exact.query_p50_ms <= exact.query_p95_ms
    assert report.settings["pairs"] == 7
    assert exact.distinct_logits <= 7


def test_parts_are_shares_and_lengths_are_those_of_the_model(report, bi_encoder: BiEncoder) -> None:
    for row in report.rows[1:]:
        assert list(row.shares) == ["tokenise", "compute", "pool", "store"]
        assert sum(row.shares.values()) == pytest.approx(1)
        assert min(row.shares.values()) > 0
    parts = bi_encoder.time_parts(TEXTS)
    assert [length - 2 for length in parts.lengths] == bi_encoder.count_tokens(TEXTS)
    assert parts.padded >= sum(parts.lengths)


def test_it_is_printed_and_is_json(report) -> None:
    values = json.loads(report.to_json())
    assert [row["name"] for row in values["rows"]] == [row.name for row in report.rows]
    assert values["machine"]["packages"]["torch"]
    text = str(report)
    assert "torch bfloat16" in text
    assert report.advice in text.replace("\n", " ")


def test_what_makes_no_sense_is_refused(bi_folder: Path) -> None:
    with pytest.raises(InputError, match="at least one text"):
        bench([])
    with pytest.raises(ConfigurationError, match="rounds must be a positive whole number, got 0"):
        bench(["x"], rounds=0)
    with pytest.raises(ConfigurationError, match=r"backend='torch' computes in .*int8"):
        bench(["x"], bi=str(bi_folder), cross=None, kinds=[("torch", "int8")], device="cpu")


def test_ways_take_turns_after_a_call_that_warms_up() -> None:
    called: list[str] = []
    found = interleave({name: (lambda name=name: called.append(name) or name) for name in "ab"}, 2, repeats=2)
    assert called == list("ab" + "aabb" * 2)
    assert found["b"].result == "b"
    assert (len(found["a"].walls), len(found["a"].cpus)) == (4, 4)
    found["a"].walls[:] = [1.0, 2.0, 9.0]
    assert found["a"].wall() == 2.0


def row(name: str, bulk: float, query: float, pairs: float | None = None, cosine: float = 1.0) -> Row:
    return Row(name, *name.split(), bulk_ms=bulk, query_p50_ms=query, pairs_ms=pairs, worst_cosine=cosine)


ROWS = [
    Row("peer", bulk_ms=1.0, query_p50_ms=1.0),  # what stands beside is nobody's choice
    row("torch float32", 100, 9, 50),
    row("onnx float32", 80, 3, 40),
    row("openvino float32", 75, 3.1, 30),
    row("openvino bfloat16", 40, 2, 20, 0.99998),
    row("onnx int8", 30, 1, 11, 0.98),
]


def test_the_rule_is_right_where_its_pick_is_as_fast_as_the_fastest_within_five_percent() -> None:
    takes = {name: Choice("openvino", name) for name in ("float32", "bfloat16")}
    exact, auto = check_auto(ROWS, {"float32": takes["float32"], "auto": takes["bfloat16"]})
    assert (exact.takes, exact.right) == ("openvino float32", True)
    assert exact.fastest == {"bulk": "openvino float32", "query": "onnx float32", "pairs": "openvino float32"}
    assert exact.behind == {"bulk": 1.0, "query": 1.033, "pairs": 1.0}
    assert (auto.asked, auto.right) == ("auto", True)
    [wrong] = check_auto(ROWS, {"float32": Choice("onnx", "float32")})
    assert (wrong.right, wrong.behind["pairs"]) == (False, 1.333)
    assert check_auto(ROWS, {"int8": Choice("openvino", "int8")}) == []  # it wasn't measured


def test_the_advice_is_the_fastest_with_float32s_vectors() -> None:
    auto = check_auto(ROWS, {"auto": Choice("openvino", "bfloat16")})
    assert advise(ROWS, auto) == (
        "Use precision='auto': openvino bfloat16. onnx int8 takes 1/1.3 of its time in bulk, at a worst cosine of "
        "0.9800 with float32; its index has another fingerprint."
    )
    assert advise(ROWS[:3], check_auto(ROWS[:3], {"auto": Choice("torch", "float32")})) == (
        "Use backend='onnx', precision='float32'."
    )


def test_the_reference_comes_first_and_all_that_computes_here_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BICROSS_BACKEND")
    monkeypatch.setattr("bicross.benchmarking.kinds.installed", lambda name: name != "openvino")
    monkeypatch.setattr(hardware, "has_bfloat16", lambda: False)
    monkeypatch.setattr(hardware, "has_avx2", lambda: True)
    assert [" ".join(kind) for kind in installed_kinds()] == ["torch float32", "onnx float32", "onnx int8"]
    assert {kind.backend for kind in installed_kinds("cuda")} == {"torch"}
    monkeypatch.setattr("bicross.encoding.backends.choosing.installed", lambda name: name == "torch")
    assert automatic_kinds("cpu") == {"float32": Choice("torch", "float32"), "auto": Choice("torch", "float32")}


def test_the_arithmetic_of_a_checkpoint_is_that_of_its_layers(bi_folder: Path, tmp_path: Path) -> None:
    config = json.loads((bi_folder / "config.json").read_text())
    found = arithmetic(bi_folder)
    width, wide = config["hidden_size"], config["intermediate_size"]
    assert (found.layers, found.width) == (config["num_hidden_layers"], width)
    assert sum(a * b for a, b in found.shapes) == 4 * width * width + 2 * width * wide
    assert matrix_rate(found.shapes, "float32", "cpu") > 0
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 9}))
    (tmp_path / "model.safetensors").write_bytes((bi_folder / "model.safetensors").read_bytes())
    assert arithmetic(tmp_path) is None  # layers that are shared are computed more often than they are stored


def test_the_machine_names_what_is_not_installed() -> None:
    found = machine("numpy", "no-such-package")
    assert found["packages"]["numpy"] == np.__version__
    assert found["packages"]["no-such-package"] is None
    assert found["usable_cores"] >= 1


def test_the_command_line(bi_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("\n\n".join(TEXTS))
    arguments = ["bench", str(tmp_path / "notes.txt"), "--bi", str(bi_folder), "--cross", "none", "--rounds", "1"]
    arguments += ["--passages", "4", "--kind", "torch:float32", "--device", "cpu"]
    done = CliRunner().invoke(app, [*arguments, "--json", "--out", str(tmp_path / "new" / "speed.json")])
    assert done.exit_code == 0, done.output
    values = json.loads(done.stdout)
    assert (values["settings"]["passages"], values["settings"]["cross_encoder"]) == (4, None)
    assert [each["name"] for each in values["rows"]] == ["torch float32"]
    assert json.loads((tmp_path / "new" / "speed.json").read_text()) == values
    assert "texts/s" in CliRunner().invoke(app, arguments).stdout
    refused = CliRunner().invoke(app, ["bench", "--kind", "onnx"])
    assert "--kind takes BACKEND:PRECISION" in str(refused.exception)
