"""What browsers are told of every answer, and requests that come from other sites' pages."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bicross.server.failures import Refusal, failure

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
_OWN = ("same-origin", "none")


class Shield:
    """Refuses what another site's page asks for; a link to the page itself may be followed.

    A browser says where a request comes from; a program says nothing, and is served.

    Args:
        app: What answers the others.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = failure(_REFUSAL) if _foreign(Headers(scope=scope), scope["method"]) else self.app
        await answer(scope, receive, told)


_REFUSAL = Refusal(403, "Pages of other sites can't ask this server. Open its own page.", code="cross_origin")


def _foreign(headers: Headers, method: str) -> bool:
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is not None:
        return origin.partition("://")[2] != headers.get("host", "")
    navigates = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    return site is not None and site not in _OWN and not navigates
