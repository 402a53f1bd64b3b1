"""Runs the app until somebody ends it."""

from __future__ import annotations

import logging
import signal
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from starlette.applications import Starlette

GRACE_SECONDS = 30


def serve(app: Starlette, host: str = "127.0.0.1", port: int = 8000, *, grace_seconds: int = GRACE_SECONDS) -> None:
    """Serve an app until SIGTERM or SIGINT; what is being answered is answered to its end.

    Args:
        app: The app. Anyone who reaches the address reaches it; see `bicross.server.settings.read_token`.
        host: The address to listen on.
        port: The port; 0: one that is free, which the log tells.
        grace_seconds: How long answers may take after the signal.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    config = uvicorn.Config(
        app,
        host,
        port,
        log_config=None,
        access_log=False,  # /metrics counts; a line for each request would cost more than a short one's answer
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=grace_seconds,
    )
    # uvicorn raises the signal again once all is answered; it was served by then.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    uvicorn.Server(config).run()
