"""`bicross distill` with the starter pair on a part of tldr: run, run again, kill, and read the student elsewhere."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bicross import BiEncoder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """300 pages of tldr and 80 queries of its train split, one for each page."""
    source, folder = data / "tldr", tmp_path_factory.mktemp("data") / "tldr"
    (folder / "qrels").mkdir(parents=True)
    pages = (source / "corpus.jsonl").read_text(encoding="utf-8").splitlines()[::20][:300]
    ids = {json.loads(page)["_id"] for page in pages}
    rows = [row.split("\t") for row in (source / "qrels" / "train.tsv").read_text(encoding="utf-8").splitlines()[1:]]
    rows = list({row[1]: row for row in rows if row[1] in ids}.values())[:80]
    asked = {row[0] for row in rows}
    lines = (source / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    queries = [line for line in lines if json.loads(line)["_id"] in asked]
    (folder / "corpus.jsonl").write_text("\n".join(pages) + "\n", encoding="utf-8")
    (folder / "queries.jsonl").write_text("\n".join(queries) + "\n", encoding="utf-8")
    judgments = "".join("\t".join(row) + "\n" for row in rows)
    (folder / "qrels" / "train.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judgments}", encoding="utf-8")
    return folder


OPTIONS = (
    "--towers",
    "query",
    "--batch-size",
    "16",
    "--held-out",
    "10",
    "--gap-queries",
    "2",
    "--epochs",
    "1",
    "--no-bm25",
    "--weak-teacher",
)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_a_student_whose_index_stays_valid(corpus: Path, bicross, tmp_path: Path) -> None:
    arguments = ("distill", "--corpus", str(corpus), "--out", "run", *OPTIONS, "--json")
    command = [str(Path(sys.executable).with_name("bicross")), *arguments]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    manifest = tmp_path / "run" / "run.json"
    while not manifest.exists() or "score 1" not in json.loads(manifest.read_text("utf-8"))["stages"]:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    report = json.loads(bicross(*arguments).stdout)
    assert report["skipped"] == ["measure before", "gap before", "mine 1"]
    assert report["after"]["queries"] == 10
    again = json.loads(bicross(*arguments).stdout)
    assert again["done"] == []
    assert again["after"] == report["after"]
    from sentence_transformers import SentenceTransformer

    student = tmp_path / "run" / "student"
    theirs = SentenceTransformer(str(student), device="cpu")
    texts = ["list all files", "compress a folder"]
    with BiEncoder.load(student) as ours, BiEncoder.load("starter") as base:
        assert ours.document_fingerprint == base.document_fingerprint
        assert np.abs(ours.encode_query(texts) - theirs.encode_query(texts)).max() < 1e-5
        assert np.abs(ours.encode_query(texts) - base.encode_query(texts)).max() > 1e-4
    assert "queries that training didn't see" in (student / "README.md").read_text("utf-8")
