"""What is being indexed: one job after the other, in a thread, each to be followed and cancelled."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from bicross import readers
from bicross.errors import BicrossError
from bicross.readers import Reading
from bicross.server.failures import Refusal
from bicross.server.search_bodies import JobAnswer, State
from bicross.server.setups import Setup
from bicross.types import IndexReport

logger = logging.getLogger(__name__)

_KEPT = 50
_WAITING = 100
_WAITING_BYTES = 200 << 20
_SKIPS_SHOWN = 20
_OPEN = ("waiting", "reading", "indexing")


class _CancelledError(Exception):
    """Ends a sync from within its progress."""


@dataclass
class Job:
    """A file or folder that is, or was, indexed.

    Attributes:
        id: A number, as a string.
        name: What is shown.
        source: The sync that its passages belong to.
        read: Gives the passages; None once it has ended, so that what was sent isn't held any longer.
        size: What is held for it until then. **Unit:** bytes.
        state: Where it stands.
        step: What is being done.
        done: Passages of this step that are done.
        total: Passages of this step.
        report: What was done, summed over the collections.
        skipped: What wasn't read, and why.
        error: Why it failed.
        cancelled: Set once it is to end.
        turn: What the thread will do.
    """

    id: str
    name: str
    source: str
    read: Callable[[], Reading] | None
    size: int = 0
    state: State = "waiting"
    step: str = ""
    done: float = 0
    total: float = 0
    report: dict[str, int] | None = None
    skipped: list[str] = field(default_factory=list)
    error: str | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)
    turn: Future[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is still something to come."""
        return self.state in _OPEN

    def tell(self, step: str, done: float, total: float) -> None:
        """Take note of the progress; ends the sync where the job was cancelled."""
        if self.cancelled.is_set():
            raise _CancelledError
        self.step, self.done, self.total = step, done, total

    def end(self, state: State, error: str | None = None) -> None:
        """Nothing is to come."""
        self.read, self.size = None, 0
        self.error, self.state = error, state

    def answer(self) -> JobAnswer:
        """As it is now."""
        names = ("id", "name", "state", "step", "done", "total", "report", "skipped", "error")
        return JobAnswer(**{name: getattr(self, name) for name in names})


class Jobs:
    """Indexes into the collections of all setups.

    Args:
        setups: Where to; those that share a collection are one place.
        waiting: How many jobs may wait.
        waiting_bytes: How much may be held for them.
    """

    def __init__(self, setups: Sequence[Setup], waiting: int = _WAITING, waiting_bytes: int = _WAITING_BYTES) -> None:
        self._setups = setups
        places = {(setup.store.place, setup.store.collection): setup for setup in reversed(setups)}
        self._places = list(reversed(places.values()))
        self._waiting, self._waiting_bytes = waiting, waiting_bytes
        self._jobs: dict[str, Job] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bicross-indexing")

    def start(self, name: str, source: str, read: Callable[[], Reading], *, size: int = 0) -> Job:
        """Index what is read, behind what waits already; what the source lost is deleted.

        Args:
            name: What is shown.
            source: The sync that its passages belong to.
            read: Gives the passages.
            size: What is held for it until it has ended. **Unit:** bytes.

        Raises:
            Refusal: Too much waits (429).
        """
        with self._lock:
            waiting = [job for job in self._jobs.values() if job.is_open]
            held = sum(job.size for job in waiting)
            if len(waiting) >= self._waiting or (waiting and held + size > self._waiting_bytes):
                raise Refusal(
                    429,
                    f"{len(waiting)} files, {held} bytes, wait to be indexed, and more may not. Try again later.",
                    code="overloaded",
                    headers={"retry-after": "2"},
                )
            job = Job(str(next(self._numbers)), name, source, read, size)
            self._jobs[job.id] = job
            finished = [each.id for each in self._jobs.values() if not each.is_open]
            for id in finished[: max(len(self._jobs) - _KEPT, 0)]:
                del self._jobs[id]
            job.turn = self._thread.submit(self._run, job)
        return job

    def all(self) -> list[Job]:
        """The last ones first."""
        with self._lock:
            return list(reversed(self._jobs.values()))

    def get(self, id: str) -> Job | None:
        """A job; None where there is none, or it was long ago."""
        return self._jobs.get(id)

    def cancel(self, id: str) -> Job | None:
        """End a job: at once where it waits, else at the next batch; what was acknowledged is there.

        None where there is none.
        """
        with self._lock:
            job = self._jobs.get(id)
        if job is not None:
            job.cancelled.set()
            if job.turn is not None and job.turn.cancel():
                job.end("cancelled")
        return job

    def close(self) -> None:
        """Cancel everything and wait for it."""
        for job in self.all():
            job.cancelled.set()
        self._thread.shutdown(wait=True)

    def _run(self, job: Job) -> None:
        state: State
        try:
            self._index(job)
            state, error = "done", None
        except _CancelledError:
            state, error = "cancelled", None
        except BicrossError as failed:
            state, error = "failed", str(failed)
        except Exception as failed:
            logger.exception("indexing %r failed", job.name)
            state, error = "failed", f"{type(failed).__name__}; the server's log has more."
        for setup in self._setups:
            setup.recount()
        job.end(state, error)
        logger.info("indexing %r: %s %s", job.name, state, error or job.report or "")

    def _index(self, job: Job) -> None:
        job.state = "reading"
        job.tell("reading", 0, 0)
        assert job.read is not None
        reading = job.read()
        failed = [f"{skipped.path}: {skipped.reason}" for skipped in reading.skipped if skipped.failed]
        job.skipped = failed[:_SKIPS_SHOWN]
        job.state = "indexing"
        whole = bool(reading.passages) and not failed
        reports = [self._sync(job, setup, reading, whole) for setup in self._places]
        job.report = {
            item.name: sum(getattr(report, item.name) for report in reports) for item in dataclasses.fields(IndexReport)
        }

    def _sync(self, job: Job, setup: Setup, reading: Reading, whole: bool) -> IndexReport:
        encoder = setup.bi_encoder
        limit, count = getattr(encoder, "passage_limit", None), getattr(encoder, "count_tokens", None)
        passages = reading
        if limit is not None and count is not None:

            def counted(texts: Sequence[str]) -> list[int]:
                job.tell("splitting", 0, 0)  # a large text takes long, and can be cancelled meanwhile
                return list(count(texts))

            passages = readers.split(reading, limit=limit, count_tokens=counted)
        return setup.indexer().index(passages, job.source, delete_missing=whole, show_progress=job.tell)
