"""Every failure as OpenAI's error object: ``{"error": {"message", "type", "param", "code"}}``."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from bicross.errors import (
    BicrossError,
    ClosedError,
    CollectionNotFoundError,
    ConfigurationError,
    FilterError,
    FingerprintMismatchError,
    InputError,
    StoreError,
)

logger = logging.getLogger(__name__)

_KINDS = {401: "authentication_error", 429: "rate_limit_error"}
_WRONG_REQUESTS = (InputError, ConfigurationError, FilterError)
_UNUSABLE: list[tuple[type[BicrossError], int, str]] = [
    (CollectionNotFoundError, 404, "no_collection"),
    (FingerprintMismatchError, 409, "other_model"),
    (StoreError, 503, "store"),
    (ClosedError, 503, "store"),
]
"""Why a collection can't be used now; the first that fits. A 503 is worth another try."""


class Refusal(HTTPException):
    """A request that isn't served.

    Args:
        status: The HTTP status.
        message: Rule, got, remedy.
        param: The field of the body that it is about.
        code: A word for programs.
        headers: Of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, dict(headers) if headers else None)
        self.param = param
        self.code = code


def failure(refusal: HTTPException) -> JSONResponse:
    """A refusal as an answer."""
    status = refusal.status_code
    kind = _KINDS.get(status, "invalid_request_error" if status < 500 else "server_error")
    error = {
        "message": refusal.detail or HTTPStatus(status).phrase,
        "type": kind,
        "param": getattr(refusal, "param", None),
        "code": getattr(refusal, "code", None),
    }
    return JSONResponse({"error": error}, status, refusal.headers)


async def refused(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001  # starlette's signature
    """Answer an `HTTPException`."""
    assert isinstance(error, HTTPException)
    return failure(error)


async def invalid(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001
    """Answer a body that isn't what the endpoint takes."""
    assert isinstance(error, ValidationError)
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    deepest = max(errors, key=lambda each: len(each["loc"]))  # of a list with one wrong item, the item
    # The steps between a field's name and a position are pydantic's names of types.
    place = ".".join(str(step) for i, step in enumerate(deepest["loc"]) if i == 0 or isinstance(step, int))
    where = f"{place}: " if place else "The body: "
    return failure(Refusal(400, f"{where}{deepest['msg']}.", param=place or None))


async def failed(request: Request, error: Exception) -> JSONResponse:
    """Answer an error of the engine: what the client can mend is told, what it can't is logged."""
    if isinstance(error, _WRONG_REQUESTS):
        return failure(Refusal(400, str(error)))
    for kind, status, code in _UNUSABLE:
        if isinstance(error, kind):
            headers = {"retry-after": "2"} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
            return failure(Refusal(status, str(error), code=code, headers=headers))
    logger.error("%s failed", request.url.path, exc_info=error)
    known = isinstance(error, BicrossError)
    return failure(HTTPException(500, f"{type(error).__name__ if known else 'An error'}; the server's log has more."))
