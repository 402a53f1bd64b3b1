"""The queue of what is indexed, without a server."""

from __future__ import annotations

import threading
import time
import weakref

import pytest

from bicross import Passage
from bicross.errors import ReadError
from bicross.readers import Reading
from bicross.server import Setup
from bicross.server.failures import Refusal
from bicross.server.jobs import Jobs
from bicross.stores import ExactStore

from .search_fixtures import LaterEncoder, SplittingEncoder, empty


def test_the_end_of_the_server_ends_its_jobs() -> None:
    encoder = LaterEncoder()
    encoder.seconds = 0.05
    jobs = Jobs([empty(encoder)])
    job = jobs.start("a", "a", lambda: Reading(tuple(Passage(f"a {i}", id=str(i)) for i in range(5_000))))
    while not job.done:
        time.sleep(0.01)
    jobs.close()
    assert job.state == "cancelled"


def test_more_jobs_than_may_wait() -> None:
    gate = threading.Event()

    def read() -> Reading:
        gate.wait(10)
        return Reading((Passage("a", id="a"),))

    jobs = Jobs([empty()], waiting=2)
    jobs.start("a", "a", read)
    jobs.start("b", "b", read)
    with pytest.raises(Refusal, match="wait to be indexed") as refused:
        jobs.start("c", "c", read)
    assert refused.value.status_code == 429
    gate.set()
    jobs.close()


@pytest.mark.parametrize("fails", [False, True])
def test_an_ended_job_holds_no_file(fails: bool) -> None:
    class Content:
        def read(self) -> Reading:
            if fails:
                raise ReadError("broken")
            return Reading((Passage("the bird", id="a"),))

    content = Content()
    held = weakref.ref(content)
    jobs = Jobs([empty()])
    job = jobs.start("a", "a", content.read, size=9)
    del content
    job.turn.result(20)
    jobs.close()
    assert (job.state, job.size) == ("failed" if fails else "done", 0)
    assert held() is None


def test_a_large_text_is_cancelled_while_it_is_split() -> None:
    class Counting(SplittingEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.begun, self.go = threading.Event(), threading.Event()

        def count_tokens(self, texts):
            self.begun.set()
            assert self.go.wait(60)
            return super().count_tokens(texts)

    encoder = Counting()
    jobs = Jobs([empty(encoder)])
    job = jobs.start("a", "a", lambda: Reading((Passage("the bird. " * 300, id="a"),)))
    assert encoder.begun.wait(60)
    assert (job.state, job.step) == ("indexing", "splitting")
    jobs.cancel(job.id)
    encoder.go.set()
    jobs.close()
    assert (job.state, job.report) == ("cancelled", None)


def test_setups_of_one_collection_are_indexed_once_and_others_each() -> None:
    first = empty()
    same = Setup("same", first.bi_encoder, first.store)
    other = Setup("other", SplittingEncoder(), ExactStore("another"))
    jobs = Jobs([first, same, other])
    job = jobs.start("a", "a", lambda: Reading((Passage("the bird", id="a"),)))
    job.turn.result(20)
    assert (job.state, job.report["new"]) == ("done", 2)
    assert (first.store.count(), other.store.count()) == (1, 1)
    assert first.store.header().sparse is not None
    jobs.close()


def test_an_error_of_ours_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    def read() -> Reading:
        raise RuntimeError("a secret of the server")

    jobs = Jobs([empty()])
    job = jobs.start("a", "a", read)
    job.turn.result(20)
    jobs.close()
    assert job.state == "failed"
    assert "secret" not in job.error
    assert "secret" in caplog.text
