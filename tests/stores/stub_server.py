"""A tiny HTTP server that speaks enough of Qdrant's REST protocol for the client's side of it to be tested.

It answers from qdrant-client's in-memory mode and can be told to fail. It says nothing about a real server.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from qdrant_client import QdrantClient, models


class Stub:
    """The server's state.

    Attributes:
        faults: What happens to the next requests instead of an answer: a status, (status, headers, body), "cut" (the
            connection ends) or "apply, then cut".
        seen: Every request as (method, path, headers).
    """

    def __init__(self) -> None:
        self.client = QdrantClient(":memory:")
        self.faults: list[Any] = []
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.lock = threading.Lock()
        self.url = ""

    def answer(self, method: str, path: str, body: Any) -> Any:
        match [method, *path.split("?", maxsplit=1)[0].strip("/").split("/")]:
            case ["GET", "collections"]:
                return _dump(self.client.get_collections())
            case [_, "collections", name, *rest]:
                if (method, rest) == ("PUT", []):
                    return self._create(name, body)
                exists = self.client.collection_exists(name)
                if rest == ["exists"]:
                    return {"exists": exists}
                if not exists:
                    raise LookupError(name)
                return self._collection(method, name, "/".join(rest), body)
        raise NotImplementedError(f"{method} {path}")

    def _create(self, name: str, body: Any) -> bool:
        request = models.CreateCollection(**body)
        return self.client.create_collection(
            name, request.vectors, sparse_vectors_config=request.sparse_vectors, metadata=request.metadata
        )

    def _collection(self, method: str, name: str, action: str, body: Any) -> Any:
        client, done = self.client, {"operation_id": 0, "status": "completed"}
        match method, action:
            case "GET", "":
                return _dump(client.get_collection(name))
            case "DELETE", "":
                return client.delete_collection(name)
            case "PATCH", "":
                change = models.UpdateCollection(**body)
                return client.update_collection(
                    name, sparse_vectors_config=change.sparse_vectors, metadata=change.metadata
                )
            case "PUT", "index":
                return done
            case "PUT", "points":
                client.upsert(name, models.PointsList(**body).points)
            case "POST", "points/delete":
                client.delete(name, models.PointIdsList(**body))
            case "POST", "points/batch":
                client.batch_update_points(name, models.UpdateOperations(**body).operations)
                return [done]
            case "POST", "points":
                request = models.PointRequest(**body)
                return _dump(client.retrieve(name, request.ids, request.with_payload, request.with_vector))
            case "POST", "points/count":
                return _dump(client.count(name, models.CountRequest(**body).filter))
            case "POST", "points/scroll":
                r = models.ScrollRequest(**body)
                points, following = client.scroll(name, r.filter, r.limit, offset=r.offset, with_payload=r.with_payload)
                return {"points": _dump(points), "next_page_offset": following}
            case "POST", "points/query":
                return self._found(name, models.QueryRequest(**body))
            case "POST", "points/query/batch":
                return [self._found(name, one) for one in models.QueryRequestBatch(**body).searches]
            case "PUT", "points/vectors":
                client.update_vectors(name, models.UpdateVectors(**body).points)
            case "POST", "points/vectors/delete":
                request = models.DeleteVectors(**body)
                client.delete_vectors(name, request.vector, request.filter)
            case "POST", "points/query/groups":
                g = models.QueryGroupsRequest(**body)
                vector = g.query.nearest if isinstance(g.query, models.NearestQuery) else g.query
                return _dump(
                    client.query_points_groups(
                        name, g.group_by, vector, using=g.using, query_filter=g.filter, limit=g.limit,
                        group_size=g.group_size, with_payload=True,
                    )
                )  # fmt: skip
            case _:
                raise NotImplementedError(f"{method} {action}")
        return done

    def _found(self, name: str, q: models.QueryRequest) -> Any:
        vector = q.query.nearest if isinstance(q.query, models.NearestQuery) else q.query
        found = self.client.query_points(
            name, vector, using=q.using, query_filter=q.filter, limit=q.limit, with_payload=True
        )
        return _dump(found)


def _dump(value: Any) -> Any:
    if isinstance(value, list):
        return [_dump(item) for item in value]
    return value.model_dump(mode="json")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stub: Stub

    def _serve(self) -> None:
        stub = self.stub
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        with stub.lock:
            stub.seen.append((self.command, self.path, {key.lower(): value for key, value in self.headers.items()}))
            fault = stub.faults.pop(0) if stub.faults else None
            if fault == "cut":
                self.close_connection = True
                return
            if isinstance(fault, int):
                fault = (fault, {}, json.dumps({"status": {"error": f"scripted {fault}"}}))
            if isinstance(fault, tuple):
                self._send(*fault)
                return
            try:
                answer = json.dumps({"result": stub.answer(self.command, self.path, body), "status": "ok", "time": 0})
            except LookupError as error:
                self._send(404, {}, json.dumps({"status": {"error": f"Not found: Collection {error} doesn't exist!"}}))
                return
        if fault == "apply, then cut":
            self.close_connection = True
            return
        self._send(200, {}, answer)

    do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = _serve  # noqa: N815

    def _send(self, status: int, headers: dict[str, str], text: str) -> None:
        content = text.encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Keep the tests' output clean."""


@contextmanager
def serve() -> Iterator[Stub]:
    """Run a stub on a free port of 127.0.0.1."""
    stub = Stub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"stub": stub}))
    server.daemon_threads = True
    stub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.002}, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        stub.client.close()
