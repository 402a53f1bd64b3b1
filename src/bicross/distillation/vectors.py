"""Vectors of all texts of a run, on disk and mapped into memory: computed once, shared by all processes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bicross.caches import VectorCache
from bicross.encoding.prompts import Role
from bicross.evaluation.counted import CountedEncoder, query_fingerprint
from bicross.progress import progress
from bicross.types import Encoder, Floats
from bicross.whole_file import whole_file

_BLOCK = 4096


def kept_vectors(path: Path, encoder: Encoder, role: Role, texts: Sequence[str], cache: VectorCache | None) -> Floats:
    """An encoder's vectors of texts, from a file where it exists.

    Args:
        path: The file, ``.npy``.
        encoder: Encodes what the cache doesn't hold.
        role: Of the texts.
        texts: What to encode.
        cache: Where vectors are sought and kept.

    Returns:
        float32, mapped from the file. **Shape:** (len(texts), dimension).

    Raises:
        StorageFullError: The disk is full.
    """
    if not path.exists():
        encode = CountedEncoder(encoder, role)
        key = query_fingerprint(encoder) if role == "query" else encoder.document_fingerprint
        if not texts:
            return np.zeros((0, 1), dtype=np.float32)
        # Written, not mapped: where the disk is full, writing to a mapping ends the process with a signal.
        with (
            whole_file(path) as part,
            part.open("wb") as file,
            progress(f"encoding {path.stem}", len(texts), None) as advance,
        ):
            for start in range(0, len(texts), _BLOCK):
                block = list(texts[start : start + _BLOCK])
                vectors = encode(block) if cache is None else cache.encode(key, block, encode)
                if start == 0:
                    header = {"descr": "<f4", "fortran_order": False, "shape": (len(texts), vectors.shape[1])}
                    np.lib.format.write_array_header_1_0(file, header)
                file.write(np.ascontiguousarray(vectors, dtype="<f4").data)
                advance(len(block))
        encode.warn()
    kept: Floats = np.load(path, mmap_mode="r")
    return kept
