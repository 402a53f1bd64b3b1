"""bicross train-reranker."""

from __future__ import annotations


def train_reranker() -> None:
    """Train a cross-encoder."""
