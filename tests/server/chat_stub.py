"""A chat endpoint of OpenAI's kind on this machine, that says what it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Stub:
    """What was asked, and what is answered.

    Args:
        pieces: The answer's pieces.
        status: The HTTP status.
        raw: Sent instead of pieces.
    """

    def __init__(self, *pieces: str, status: int = 200, raw: bytes | None = None) -> None:
        self.pieces = pieces
        self.status = status
        self.raw = raw
        self.asked: list[dict] = []
        self.keys: list[str | None] = []
        self.url = ""

    def body(self) -> bytes:
        if self.raw is not None:
            return self.raw
        events = [{"choices": [{"delta": {"role": "assistant"}}]}]
        events += [{"choices": [{"delta": {"content": piece}}]} for piece in self.pieces]
        events.append({"choices": [], "usage": {"total_tokens": 3}})
        return b"".join(f"data: {json.dumps(event)}\n\n".encode() for event in events) + b"data: [DONE]\n\n"


@contextmanager
def chatting(stub: Stub) -> Iterator[Stub]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            content = self.rfile.read(int(self.headers["content-length"]))
            stub.asked.append(json.loads(content) | {"path": self.path})
            stub.keys.append(self.headers.get("authorization"))
            body = stub.body()
            self.send_response(stub.status)
            self.send_header("content-type", "text/event-stream")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
