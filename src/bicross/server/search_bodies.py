"""What the search API takes and answers; its OpenAPI document is made from these."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from bicross.server.bodies import Body

QUERY_CHARACTERS = 4_000
FirstStageName = Literal["dense", "bm25", "hybrid"]
State = Literal["waiting", "reading", "indexing", "done", "failed", "cancelled"]
Question = Annotated[str, StringConstraints(min_length=1, max_length=QUERY_CHARACTERS)]


class SearchBody(Body):
    """``POST /api/search``."""

    query: Question
    top_k: Annotated[int, Field(ge=1, le=100, description="Hits at most.")] = 10
    candidates: Annotated[int, Field(ge=1, le=1_000, description="What the first stage hands to the second.")] = 100
    first_stage: Annotated[FirstStageName | None, Field(description="null: hybrid where the collection has it.")] = None
    rerank: Annotated[bool, Field(description="false: the first stage alone.")] = True
    budget_ms: Annotated[float | None, Field(ge=0, description="Rerank as deep as this time allows.")] = None
    filter: Annotated[
        dict[str, Any] | None,
        Field(description='Haystack\'s filter: {"field": "meta.lang", "operator": "==", "value": "en"}.'),
    ] = None
    setup: Annotated[str | None, Field(description="Which pair of models; null: the first of /api/info.")] = None
    misses: Annotated[int, Field(ge=0, le=20, description="Nearest misses of either kind.")] = 5
    sentences: Annotated[bool, Field(description="false: don't seek the best sentence of each hit.")] = True


class AnswerBody(Body):
    """``POST /api/answer``."""

    query: Question
    ids: Annotated[list[str], Field(min_length=1, max_length=20, description="Passages, in the order of citations.")]
    setup: str | None = None


class Answer(BaseModel):
    """What is answered; unknown fields may come with a later version."""

    model_config = ConfigDict(extra="forbid")


class GroundingAnswer(Answer):
    """The passage's best sentence."""

    start: Annotated[int, Field(description="In the passage's text. Unit: characters (Unicode code points).")]
    end: int
    score: Annotated[float, Field(description="Of the sentence alone. Unit: the cross-encoder's.")]


class LegAnswer(Answer):
    """What one search of a hybrid first stage said."""

    rank: int
    score: float


class HitAnswer(Answer):
    """A passage and its place."""

    id: str
    title: str | None
    text: str
    source: str | None
    meta: dict[str, Any]
    rank: Annotated[int, Field(description="At the end, from 1.")]
    stage1_rank: Annotated[int | None, Field(description="In the first stage, from 1.")]
    rose: Annotated[int, Field(description="Places that the second stage raised it by; below zero: it fell.")]
    score: Annotated[float, Field(description="What the hits are ordered by.")]
    stage1_score: float | None
    rerank_score: Annotated[float | None, Field(description="null: the cross-encoder didn't score it.")]
    legs: dict[str, LegAnswer] = {}
    grounding: GroundingAnswer | None = None
    gap: Annotated[float | None, Field(description="Of a miss: how much its score is below the last hit's.")] = None
    lacking: Annotated[list[str], Field(description="Of a miss: words of the query that don't occur in it.")] = []


class SearchAnswer(Answer):
    """The answer of ``POST /api/search``."""

    query: str
    setup: str
    first_stage: FirstStageName
    hits: list[HitAnswer]
    misses: Annotated[list[HitAnswer], Field(description="The next ones, and what the first stage would have shown.")]
    candidates: Annotated[int, Field(description="How many the first stage found.")]
    reranked: Annotated[int, Field(description="How many of them the cross-encoder scored.")]
    truncated: Annotated[int, Field(description="How many of these were longer than it reads.")]
    milliseconds: Annotated[dict[str, float], Field(description="encode, retrieve, rerank, ground, total.")]
    units: Annotated[dict[str, str], Field(description="Of stage1_score and of rerank_score.")]


class FacetValue(Answer):
    """A value of a field, and how many passages have it."""

    value: str | bool | int
    count: int


class SetupAnswer(Answer):
    """A pair of models on a collection."""

    name: str
    bi_encoder: str
    cross_encoder: str | None
    collection: str
    passages: int
    units: dict[str, str]
    first_stages: list[FirstStageName]
    unavailable: Annotated[dict[str, str], Field(description="First stages that can't be used, and why.")]
    facets: Annotated[dict[str, list[FacetValue]], Field(description="Fields with few values, for filters.")]
    facets_complete: Annotated[bool, Field(description="Whether all passages were counted.")]


class ChatAnswer(Answer):
    """Whether answers can be written."""

    model: str | None
    how: Annotated[str | None, Field(description="How to configure a chat endpoint, where there is none.")]


class InfoAnswer(Answer):
    """The answer of ``GET /api/info``."""

    version: str
    setups: list[SetupAnswer]
    chat: ChatAnswer
    uploads: Annotated[dict[str, Any], Field(description="bytes: of a file at most; suffixes: what is read.")]


class JobAnswer(Answer):
    """A file or folder that is, or was, indexed."""

    id: str
    name: str
    state: State
    step: Annotated[str, Field(description="What is being done.")]
    done: Annotated[float, Field(description="Passages of this step that are done.")]
    total: float
    report: Annotated[dict[str, int] | None, Field(description="Passages: new, changed, unchanged, deleted, …")] = None
    skipped: Annotated[list[str], Field(description="What wasn't read, and why.")] = []
    error: str | None = None


class JobsAnswer(Answer):
    """The answer of ``GET /api/index``: the last ones first."""

    jobs: list[JobAnswer]
