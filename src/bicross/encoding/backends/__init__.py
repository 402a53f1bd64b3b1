"""Backends: token ids in, pooled vectors or logits out."""
