"""The OpenAPI document of the search API, made from its bodies."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

import bicross
from bicross.server.search_bodies import AnswerBody, InfoAnswer, JobAnswer, JobsAnswer, SearchAnswer, SearchBody

_MODELS: list[type[BaseModel]] = [SearchBody, SearchAnswer, InfoAnswer, JobAnswer, JobsAnswer, AnswerBody]
_FAILURE = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
_REFUSALS = {
    "400": "The request makes no sense; the message says what.",
    "401": "A token is needed: Authorization: Bearer …",
    "403": "Asked by another site's page.",
    "404": "There is no such collection, or job.",
    "409": "Another model filled the collection, or a passage is gone.",
    "413": "The body is too large.",
    "429": "Too much waits; Retry-After says how long.",
    "503": "The collection can't be used now.",
}


def document() -> dict[str, Any]:
    """The document."""
    _, definitions = models_json_schema(
        [(model, "validation") for model in _MODELS], ref_template="#/components/schemas/{model}"
    )
    id = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    name = {
        "name": "name", "in": "query", "required": True, "schema": {"type": "string"},
        "description": "The file's name; its end says what it is. Another file of this name replaces it.",
    }  # fmt: skip
    file = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    lines = {"application/x-ndjson": {"schema": {"type": "string"}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "bicross search", "version": bicross.__version__},
        "components": {
            "schemas": {**definitions["$defs"], "Failure": _FAILURE},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
        "paths": {
            "/api/search": {"post": _operation("Search in two stages.", SearchAnswer, body=_json(SearchBody))},
            "/api/info": {"get": _operation("What can be searched.", InfoAnswer)},
            "/api/index": {
                "post": _operation("Index a file.", JobAnswer, status="202", body=file, parameters=[name]),
                "get": _operation("Files that are, or were, indexed.", JobsAnswer),
            },
            "/api/index/{id}": {
                "get": _operation("Where it stands.", JobAnswer, parameters=[id]),
                "delete": _operation("Cancel it; what was written stays.", JobAnswer, parameters=[id]),
            },
            "/api/answer": {
                "post": _operation("An answer from passages, streamed.", lines, body=_json(AnswerBody)),
            },
        },
    }  # fmt: skip


async def openapi(request: Request) -> Response:  # noqa: ARG001  # starlette's signature
    """``GET /openapi.json``."""
    return JSONResponse(document())


def _json(model: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}


def _operation(
    summary: str,
    answer: type[BaseModel] | dict[str, Any],
    *,
    status: str = "200",
    body: dict[str, Any] | None = None,
    parameters: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    content = answer if isinstance(answer, dict) else _json(answer)
    failure = {"application/json": {"schema": {"$ref": "#/components/schemas/Failure"}}}
    operation: dict[str, Any] = {
        "summary": summary,
        "responses": {status: {"description": "Done.", "content": content}}
        | {code: {"description": text, "content": failure} for code, text in _REFUSALS.items()},
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": body}
    if parameters is not None:
        operation["parameters"] = parameters
    return operation
