"""The app over tiny random models, and a client of it."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from bicross import BiEncoder, CrossEncoder
from bicross.server import create_app


@pytest.fixture(scope="session")
def client(bi_encoder: BiEncoder, cross_encoder: CrossEncoder):
    app = create_app(bi_encoder, cross_encoder, names={"embedding": "bi", "rerank": "cross"})
    with TestClient(app, base_url="http://localhost") as client:
        yield client
