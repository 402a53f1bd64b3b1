"""Who may ask: the token, and bodies that say in advance that they are too large."""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from bicross.server.failures import Refusal, failure


class Guard:
    """Refuses requests before anything of them is read.

    Args:
        app: What answers the others.
        token: What clients send as ``Authorization: Bearer …``; None: nothing is asked for.
        body_bytes: Most bytes of a body.
        open_paths: Paths that need no token.
    """

    def __init__(self, app: ASGIApp, token: str | None, body_bytes: int, open_paths: frozenset[str]) -> None:
        self.app = app
        self._expected = None if token is None else f"Bearer {token}".encode()
        self.body_bytes = body_bytes
        self.open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (self.app if refusal is None else failure(refusal))(scope, receive, send)

    def _refusal(self, scope: Scope) -> Refusal | None:
        headers = Headers(scope=scope)
        given = headers.get("authorization", "").encode("latin-1")
        asked = self._expected is not None and scope["path"] not in self.open_paths
        if asked and not hmac.compare_digest(given, self._expected or b""):
            return Refusal(
                401,
                "This server asks for a token: send the header 'Authorization: Bearer …' with the right one.",
                code="invalid_api_key",
                headers={"www-authenticate": "Bearer"},
            )
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self.body_bytes:
            return Refusal(413, f"A body has {self.body_bytes} bytes at most, got {length:.20}. Send fewer texts.")
        return None
