"""``/api/index``: files that are sent are indexed; how far that is, and its end before its time."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from bicross.server.failures import Refusal
from bicross.server.jobs import Jobs
from bicross.server.search_api import as_json
from bicross.server.search_bodies import JobsAnswer
from bicross.server.uploads import check_name, read_upload, source_of
from bicross.server.work import Work


class IndexingAPI:
    """Takes files and tells about their indexing.

    Args:
        jobs: Does it.
        work: Where requests wait while their bodies arrive.
    """

    def __init__(self, jobs: Jobs, work: Work) -> None:
        self.jobs = jobs
        self.work = work

    async def index(self, request: Request) -> Response:
        """``/api/index``: POST sends a file, its name in the query string; GET lists the jobs."""
        if request.method == "POST":
            name = check_name(request.query_params.get("name", ""))
            return await self.work.run(request, partial(self._started, name))
        return as_json(JobsAnswer(jobs=[job.answer() for job in self.jobs.all()]))

    async def job(self, request: Request) -> Response:
        """``/api/index/{id}``: GET tells where a job stands; DELETE cancels it."""
        id = request.path_params["id"]
        found = self.jobs.cancel(id) if request.method == "DELETE" else self.jobs.get(id)
        if found is None:
            raise Refusal(404, f"There is no job {id!r:.40}.", code="no_job")
        return as_json(found.answer())

    def _started(self, name: str, body: bytes) -> Response:
        job = self.jobs.start(name, source_of(name), partial(read_upload, name, body), size=len(body))
        return as_json(job.answer(), 202)
