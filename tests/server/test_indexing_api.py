"""Files that are sent, followed, cancelled, refused."""

from __future__ import annotations

import threading
import time

import pytest

from bicross.server import Limits
from bicross.server.jobs import Jobs
from bicross.server.uploads import read_upload

from .search_fixtures import LaterEncoder, SplittingEncoder, empty, ended, filled, serving

pytestmark = pytest.mark.long


class HeldEncoder(SplittingEncoder):
    """Encodes some batches, and the others once it is let."""

    def __init__(self, batches: int) -> None:
        super().__init__()
        self.batches = batches
        self.go = threading.Event()

    def encode_document(self, texts):
        self.batches -= 1
        assert self.batches >= 0 or self.go.wait(60)
        return super().encode_document(texts)


def sent(client, name: str, content: bytes) -> dict:
    answer = client.post("/api/index", params={"name": name}, content=content)
    assert answer.status_code == 202, answer.text
    return ended(client, answer.json()["id"])


FILES = {
    "notes.txt": b"the red bird sits on the moon",
    "notes.md": b"# Birds\n\nthe blue bird flies over the river",
    "rows.csv": b"id,text,kind\n1,the green fish sleeps,fish\n2,the old cat eats,cat\n",
    "rows.jsonl": b'{"_id": "1", "text": "the small dog runs"}\n{"text": "no id but a train", "_id": "2"}\n',
}


def test_files_are_found_once_they_are_indexed() -> None:
    with serving(empty()) as client:
        for name, content in FILES.items():
            job = sent(client, name, content)
            assert (job["state"], job["name"], job["error"]) == ("done", name, None)
        assert client.get("/api/info").json()["setups"][0]["passages"] == 6
        (best, *_) = client.post("/api/search", json={"query": "green fish"}).json()["hits"]
        assert best["text"] == "the green fish sleeps"
        assert best["source"] == "upload:rows.csv"
        assert best["meta"] == {"kind": "fish", "file_name": "rows.csv"}
        jobs = client.get("/api/index").json()["jobs"]
        assert [job["name"] for job in jobs] == list(reversed(FILES))


def test_the_same_name_replaces_and_other_files_stay() -> None:
    with serving(empty()) as client:
        sent(client, "a.txt", b"the red bird. " * 20)
        sent(client, "b.csv", b"id,text\n1,the fish\n")
        job = sent(client, "a.txt", b"the train is blue")
        assert job["report"]["changed"] == 1
        assert job["report"]["deleted"] > 0
        again = sent(client, "a.txt", b"the train is blue")
        assert (again["report"]["unchanged"], again["report"]["encoded"]) == (1, 0)
        rows = sent(client, "b.csv", b"id,text\n2,the dog\n")
        assert (rows["report"]["new"], rows["report"]["deleted"]) == (1, 1)
        texts = {hit["text"] for hit in client.post("/api/search", json={"query": "the"}).json()["hits"]}
        assert texts == {"the train is blue", "the dog"}


def test_records_of_two_files_with_the_same_ids_stay_apart() -> None:
    one, two = (read_upload(name, FILES["rows.jsonl"]) for name in ("one.jsonl", "two.jsonl"))
    assert not {passage.id for passage in one} & {passage.id for passage in two}
    assert one.whole == {passage.id for passage in one}
    assert [p.id for p in read_upload("one.jsonl", FILES["rows.jsonl"])] == [p.id for p in one]
    bare = [[p.id for p in read_upload("x.csv", b"text\nthe cat\nthe dog\n")] for _ in range(2)]
    assert bare[0] == bare[1]
    assert len(set(bare[0])) == 2


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("binary.txt", bytes(range(256)) * 4, "binary.txt"),
        ("broken.jsonl", b"{", "broken.jsonl"),
        ("columns.csv", b"a,b\n1,2\n", "no column 'text'"),
        ("empty.md", b" \n", "empty"),
        ("none.txt", b"", "empty"),
        ("fake.pdf", b"not a pdf", "fake.pdf"),
        ("fake.docx", b"not a docx", "fake.docx"),
        ("'quoted\".jsonl", b"{", "line 1"),
    ],
)
def test_what_cannot_be_read_fails_with_the_reason(name: str, content: bytes, reason: str) -> None:
    with serving(filled()) as client:
        job = sent(client, name, content)
        assert job["state"] == "failed"
        assert reason in job["error"]
        assert "/tmp" not in job["error"]
        assert client.get("/api/info").json()["setups"][0]["passages"] == 60


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "..",
        "../a.txt",
        "a/b.txt",
        "a\\b.txt",
        "a\x00.txt",
        "a\n.txt",
        "x" * 250 + ".txt",
        "a.exe",
        "txt",
        ".txt",
    ],
)
def test_names_that_are_none(name: str) -> None:
    with serving(empty()) as client:
        answer = client.post("/api/index", params={"name": name}, content=b"text")
        assert answer.status_code == 400
        assert client.get("/api/index").json() == {"jobs": []}


def test_a_name_of_markup_is_a_name() -> None:
    name = "<img src=x onerror=alert(1)>.txt"
    with serving(empty()) as client:
        assert sent(client, name, b"the bird")["name"] == name


def test_files_that_are_too_large() -> None:
    with serving(empty(), limits=Limits(body_bytes=1_000)) as client:
        answer = client.post("/api/index", params={"name": "a.txt"}, content=b"a" * 1_001)
        assert answer.status_code == 413
        assert client.get("/api/info").json()["uploads"]["bytes"] == 1_000


def test_progress_is_told_and_a_job_is_cancelled() -> None:
    encoder = HeldEncoder(batches=4)
    setup = empty(encoder)
    rows = "text\n" + "".join(f"the bird number {i}\n" for i in range(640))
    with serving(setup) as client:
        job = client.post("/api/index", params={"name": "a.csv"}, content=rows.encode()).json()
        while not (now := client.get(f"/api/index/{job['id']}").json())["done"]:
            time.sleep(0.01)
        assert (now["state"], now["step"], now["total"]) == ("indexing", "indexing", 640)
        waiting = client.post("/api/index", params={"name": "b.csv"}, content=rows.encode()).json()
        assert client.delete(f"/api/index/{waiting['id']}").json()["state"] == "cancelled"
        assert client.get(f"/api/index/{job['id']}").json()["state"] == "indexing"
        assert client.delete(f"/api/index/{job['id']}").status_code == 200
        encoder.go.set()
        assert ended(client, job["id"])["state"] == "cancelled"
        held = client.get("/api/info").json()["setups"][0]["passages"]
        assert 64 <= held < 640
        assert sent(client, "a.csv", rows.encode())["report"]["new"] == 640 - held


def test_jobs_that_are_not_there() -> None:
    with serving(empty()) as client:
        assert client.get("/api/index/7").status_code == client.delete("/api/index/7").status_code == 404


def test_searches_go_on_while_a_job_runs() -> None:
    encoder = LaterEncoder()
    setup = filled(encoder=encoder)
    encoder.seconds = 0.2
    with serving(setup) as client:
        job = client.post("/api/index", params={"name": "a.txt"}, content=b"the bird").json()
        assert len(client.post("/api/search", json={"query": "the bird"}).json()["hits"]) == 10
        assert ended(client, job["id"])["state"] == "done"


def test_what_is_held_for_waiting_files_is_bounded_and_let_go() -> None:
    encoder = HeldEncoder(batches=0)
    setup = empty(encoder)
    with serving(setup, jobs=Jobs([setup], waiting_bytes=50)) as client:
        first = client.post("/api/index", params={"name": "a.txt"}, content=b"bird " * 20)
        second = client.post("/api/index", params={"name": "b.txt"}, content=b"bird")
        assert (first.status_code, second.status_code) == (202, 429)
        assert second.headers["retry-after"] == "2"
        encoder.go.set()
        assert ended(client, first.json()["id"])["state"] == "done"
        assert client.post("/api/index", params={"name": "b.txt"}, content=b"bird").status_code == 202


def test_facets_are_counted_again_once_a_file_was_replaced() -> None:
    with serving(empty()) as client:
        for kinds in ("ab", "cd"):
            rows = "".join(f"the bird {i},{kind}\n" for i, kind in enumerate(kinds))
            sent(client, "a.csv", f"text,kind\n{rows}".encode())
            facets = client.get("/api/info").json()["setups"][0]["facets"]
            assert [each["value"] for each in facets["kind"]] == list(kinds)
