"""``/api/search`` and ``/api/info``."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

import bicross
from bicross.explaining import Explained, Placed, explain
from bicross.server.answers import Chat
from bicross.server.search_bodies import (
    ChatAnswer,
    FacetValue,
    GroundingAnswer,
    HitAnswer,
    InfoAnswer,
    LegAnswer,
    SearchAnswer,
    SearchBody,
    SetupAnswer,
)
from bicross.server.setups import Setup, chosen
from bicross.server.uploads import SUFFIXES
from bicross.server.work import Work


class SearchAPI:
    """Searches, and what can be searched.

    Args:
        setups: The choices; the first is the default.
        work: Where requests wait for their turn.
        chat: What writes answers; None: nothing does.
    """

    def __init__(self, setups: list[Setup], work: Work, chat: Chat | None = None) -> None:
        self.setups = setups
        self.work = work
        self.chat = chat

    async def search(self, request: Request) -> Response:
        """``POST /api/search``."""
        return await self.work.run(request, self._searched)

    async def info(self, request: Request) -> Response:
        """``GET /api/info``."""
        return await self.work.run(request, self._described)

    def _searched(self, body: bytes) -> Response:
        asked = SearchBody.model_validate_json(body)
        setup = chosen(self.setups, asked.setup)
        retriever = setup.retriever(asked.first_stage)
        found = explain(
            retriever,
            asked.query,
            asked.top_k,
            candidates=asked.candidates,
            rerank=asked.rerank,
            filter=asked.filter,
            budget_ms=asked.budget_ms,
            misses=asked.misses,
            sentences=asked.sentences,
        )
        return as_json(_search_answer(asked, setup, retriever.first_stage.kind, found))

    def _described(self, _: bytes) -> Response:
        chat = self.chat
        answer = InfoAnswer(
            version=bicross.__version__,
            setups=[_setup_answer(setup) for setup in self.setups],
            chat=ChatAnswer(model=chat.model if chat else None, how=None if chat else Chat.HOW),
            uploads={"bytes": self.work.limits.body_bytes, "suffixes": list(SUFFIXES)},
        )
        return as_json(answer)


def as_json(answer: BaseModel, status: int = 200) -> Response:
    """An answer as JSON; never kept by a browser."""
    headers = {"cache-control": "no-store"}
    return Response(answer.model_dump_json(), status, headers, media_type="application/json")


def _search_answer(asked: SearchBody, setup: Setup, kind: Any, found: Explained) -> SearchAnswer:
    milliseconds = {stage: round(spent, 3) for stage, spent in found.milliseconds.items()}
    units = setup.units
    return SearchAnswer(
        query=asked.query,
        setup=setup.name,
        first_stage=kind,
        hits=[_hit_answer(placed) for placed in found.hits],
        misses=[_hit_answer(placed) for placed in found.misses],
        candidates=len(found.result),
        reranked=found.result.reranked,
        truncated=found.result.truncated,
        milliseconds=milliseconds | {"total": round(sum(milliseconds.values()), 3)},
        units={"stage1": units[kind], "rerank": units.get("rerank", "")},
    )


def _hit_answer(placed: Placed) -> HitAnswer:
    hit, passage, ground = placed.hit, placed.hit.passage, placed.grounding
    return HitAnswer(
        id=passage.id,
        title=passage.title,
        text=passage.text,
        source=passage.source,
        meta=dict(passage.meta),
        rank=placed.rank,
        stage1_rank=hit.stage1_rank,
        rose=placed.rose,
        score=hit.score,
        stage1_score=hit.stage1_score,
        rerank_score=hit.rerank_score,
        legs={leg.name: LegAnswer(rank=leg.rank, score=leg.score) for leg in hit.legs},
        grounding=GroundingAnswer(start=ground.span[0], end=ground.span[1], score=ground.score) if ground else None,
        gap=placed.gap,
        lacking=list(placed.lacking),
    )


def _setup_answer(setup: Setup) -> SetupAnswer:
    usable, unavailable = setup.first_stages()
    facets = setup.facets()
    return SetupAnswer.model_validate(
        {
            "name": setup.name,
            "bi_encoder": _described(setup.bi_encoder),
            "cross_encoder": _described(setup.cross_encoder) if setup.cross_encoder else None,
            "collection": setup.store.collection,
            "passages": setup.store.count(),
            "units": setup.units,
            "first_stages": usable,
            "unavailable": unavailable,
            "facets": {
                name: [FacetValue(value=value, count=count) for value, count in values]
                for name, values in facets.fields.items()
                if name != "file_path" or "file_name" not in facets.fields  # readers note both
            },
            "facets_complete": facets.complete,
        }
    )


def _described(model: Any) -> str:
    """What a model is called: its name, else its class."""
    return str(getattr(model, "name", None) or type(model).__name__)
