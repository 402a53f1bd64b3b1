"""The command line as a user meets it: real models, an embedded store, an empty folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bicross import Passage, QdrantStore

Run = Callable[..., subprocess.CompletedProcess[str]]


def loads(run: subprocess.CompletedProcess[str]) -> dict:
    return json.loads(run.stdout)


def test_docstrings_are_indexed_once_and_found(bicross: Run) -> None:
    first = loads(bicross("index", "--python", "json", "re", "shutil", "--json"))
    assert first["new"] == first["encoded"] > 50
    second = loads(bicross("index", "--python", "json", "re", "shutil", "--json"))
    assert second == dict.fromkeys(first, 0) | {"unchanged": first["new"], "skipped": second["skipped"]}
    query = "split a string by a regular expression"
    assert loads(bicross("search", query, "--cross", "none", "--json"))["hits"][0]["title"] == "re.split"
    found = loads(bicross("search", query, "--top-k", "20", "--json"))
    assert next(hit["stage1_rank"] for hit in found["hits"] if hit["title"] == "re.split") == 1
    assert found["reranked"] == min(100, first["new"])
    assert set(found["milliseconds"]) == {"encode", "retrieve", "rerank"}
    assert {"id", "title", "text", "score", "stage1_score", "stage1_rank", "rerank_score", "meta"} <= set(
        found["hits"][0]
    )
    alone = loads(bicross("search", "copy a file", "--cross", "none", "--json"))
    assert alone["reranked"] == 0
    assert [hit["stage1_rank"] for hit in alone["hits"]] == list(range(1, 11))
    info = loads(bicross("info", "--check", "--json"))["collections"][0]
    assert (info["name"], info["count"], info["dimension"], info["model"]) == ("default", first["new"], 384, "starter")
    assert len(info["fingerprint"]) == 64
    assert info["check"]["sound"]


def test_a_folder_is_split_synced_and_filtered(bicross: Run, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "guide.md").write_text(
        "# Guide\n\n" + "\n\n".join(f"## Part {i}\n\n" + "Cats sleep. " * 60 for i in range(5))
    )
    (docs / "fridge.txt").write_text("Milk goes into the fridge.")
    (docs / "binary.txt").write_bytes(b"\x00\x01\x02")
    done = bicross("index", "docs", "--json")
    report = loads(done)
    assert report["new"] > 5
    assert (report["skipped"], report["truncated"]) == (1, 0)
    assert "binary.txt" in done.stderr
    (docs / "fridge.txt").write_text("Milk and butter go into the fridge.")
    report = loads(bicross("index", "docs", "--json"))
    assert (report["changed"], report["encoded"], report["new"]) == (1, 1, 0)
    found = loads(bicross("search", "where does butter go?", "--json"))
    assert found["hits"][0]["text"] == "Milk and butter go into the fridge."
    condition = json.dumps({"field": "meta.file_name", "operator": "==", "value": "guide.md"})
    found = loads(bicross("search", "butter", "--filter", condition, "--json"))
    assert {hit["meta"]["file_name"] for hit in found["hits"]} == {"guide.md"}
    assert found["hits"][0]["title"].startswith("Guide > Part")
    ungrouped = loads(bicross("search", "cats", "--cross", "none", "--json"))["hits"]
    assert len({hit["document_id"] for hit in ungrouped}) < len(ungrouped)
    grouped = loads(bicross("search", "cats", "--cross", "none", "--group-by", "source_id", "--json"))["hits"]
    assert [hit["document_id"] for hit in grouped] == list(dict.fromkeys(hit["document_id"] for hit in ungrouped))
    whole = (docs / "guide.md").read_text()
    assert all(whole[slice(*hit["document_span"])] == hit["text"] for hit in grouped if "Cats" in hit["text"])
    table = bicross("search", "cats", "--cross", "none", "--group-by", "source_id", "--group-size", "2").stdout
    assert "guide.md" in table
    assert "–" in table
    (docs / "fridge.txt").unlink()
    refused = bicross("index", "docs", "--delete-missing", check=False)
    assert refused.returncode == 1
    assert "could not be read" in refused.stderr
    (docs / "binary.txt").unlink()
    assert loads(bicross("index", "docs", "--delete-missing", "--json"))["deleted"] == 1


def test_records_keep_their_ids_and_are_not_split(bicross: Run, tmp_path: Path) -> None:
    rows = [{"_id": f"d{i}", "title": f"T{i}", "text": "rain " * 400, "year": 2000 + i} for i in range(3)]
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    done = bicross("index", "corpus.jsonl", "--json")
    assert (loads(done)["new"], loads(done)["truncated"]) == (3, 3)
    assert "3 of 3 passages" in done.stderr
    newer = json.dumps({"field": "year", "operator": ">", "value": 2001})
    found = loads(bicross("search", "rain", "--filter", newer, "--cross", "none", "--json"))
    assert [hit["id"] for hit in found["hits"]] == ["d2"]


def test_a_broken_line_stops_everything_before_a_write(bicross: Run, tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"_id": "a", "text": "one"}\n{"_id": "b", "text"\n')
    done = bicross("index", "corpus.jsonl", check=False)
    assert done.returncode == 1
    assert "line 2" in done.stderr
    assert "corpus.jsonl" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / ".bicross").exists()


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (["search", "x"], "There is no collection 'default'", 1),
        (["info", "--store", "nowhere"], "There is no store", 1),
        (["index", "nothing-here"], "doesn't exist", 1),
        (["search", "x", "--filter", "{"], "must be JSON", 1),
        (["search"], "Missing argument", 2),
        (["search", "x", "--candidates", "many"], "--candidates", 2),
    ],
)
def test_errors_are_one_message_and_a_code(bicross: Run, arguments: list[str], words: str, code: int) -> None:
    done = bicross(*arguments, check=False)
    assert done.returncode == code
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_damaged_or_locked_collection_hides_no_other(bicross: Run, tmp_path: Path) -> None:
    for name in ("sound", "damaged", "locked"):
        with QdrantStore(path=tmp_path / ".bicross", collection=name) as store:
            store.upsert([Passage("one")], [[1.0, 0.0]])
    (tmp_path / ".bicross" / "damaged" / "bicross.json").write_text("{")
    with QdrantStore(path=tmp_path / ".bicross", collection="locked") as store:
        assert store.count() == 1
        done = bicross("info", "--json", check=False)
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert [each["name"] for each in found["collections"]] == ["sound"]
    assert "is not JSON" in found["failed"]["damaged"]
    assert f"process {os.getpid()} has" in found["failed"]["locked"]
    assert "damaged: " in done.stderr


def test_debug_shows_the_traceback(bicross: Run) -> None:
    assert "Traceback" in bicross("--debug", "search", "x", check=False).stderr
    assert "Traceback" in bicross("search", "x", "--debug", check=False).stderr


def test_a_servers_address_without_its_scheme_is_no_folder(bicross: Run, tmp_path: Path) -> None:
    done = bicross("search", "x", "--store", "localhost:6333", check=False)
    assert done.returncode == 1
    assert "http://localhost:6333" in done.stderr
    assert not (tmp_path / "localhost:6333").exists()


def test_an_interrupt_says_that_nothing_is_lost(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("bicross")), "index", "--python", "numpy"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        child.stderr.readline()  # the compiled modules are named when the reading is done
        time.sleep(1)
        child.send_signal(signal.SIGINT)
        said = child.stderr.read()
    assert child.returncode == 130
    assert "run the same command again" in said
    assert "Traceback" not in said


def test_another_model_is_refused_with_the_remedy(bicross: Run, tmp_path: Path) -> None:
    from tiny_models import write_bi_encoder

    (tmp_path / "a.txt").write_text("the cat sits")
    bicross("index", "a.txt")
    folder = write_bi_encoder(tmp_path / "tiny", hidden_size=384, num_attention_heads=4)
    done = bicross("index", "a.txt", "--bi", str(folder), check=False)
    assert done.returncode == 1
    assert "starter@" in done.stderr
    assert "tiny@" in done.stderr
    assert "recreate" in done.stderr
    assert loads(bicross("index", "a.txt", "--bi", str(folder), "--recreate", "--json"))["new"] == 1
    assert loads(bicross("info", "--json"))["collections"][0]["model"] == str(folder)
    assert loads(bicross("search", "cat", "--cross", "none", "--json"))["hits"][0]["text"] == "the cat sits"
