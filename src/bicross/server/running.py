"""Runs the app until somebody ends it."""

from __future__ import annotations

import logging
import signal
import socket
from typing import TYPE_CHECKING

import uvicorn

from bicross.errors import ConfigurationError

if TYPE_CHECKING:
    from starlette.applications import Starlette

GRACE_SECONDS = 30


def check_free(host: str, port: int) -> None:
    """Check that a server can listen there, before models are loaded for it.

    Raises:
        ConfigurationError: The port is taken, or the address isn't this machine's.
    """
    try:
        places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        with socket.socket(places[0][0], socket.SOCK_STREAM) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(places[0][4])
    except OSError as error:
        raise ConfigurationError(
            f"Port {port} of {host!r} can't be listened on: {error.strerror}. End what listens there, or choose "
            "another: --port 0 is one that is free."
        ) from error


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
    # uvicorn raises the signal again once all is answered; it was served by then. One more ends what still computes.
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        uvicorn.Server(config).run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
