"""Vectors by document fingerprint and text, on disk: what was encoded once is never encoded again.

SQLite in write-ahead mode: a stored vector survives `kill -9`, and several processes may share the folder. The key is a
SHA-256 over the fingerprint and the text, so that a changed model or prompt finds nothing of the old one; a checksum of
the vector's bytes tells a damaged row, which is dropped and encoded anew.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
import zlib
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bicross.errors import ClosedError, StoreError
from bicross.lifecycle import Closing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bicross.types import Floats

_FILE = "vectors.sqlite"
_BATCH = 512
_VARIABLES = 500
_SCHEMA = "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL, check_sum INTEGER NOT NULL)"


class VectorCache(Closing):
    """Vectors in a folder. Safe for threads and for several processes.

    Args:
        folder: Where they are kept; created where it doesn't exist.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.hits = 0
        self.misses = 0
        self.dropped = 0
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    def encode(
        self,
        fingerprint: str,
        texts: Sequence[str],
        encode: Callable[[Sequence[str]], Floats],
        batch_size: int = _BATCH,
    ) -> Floats:
        """Vectors of texts: from the cache, or from `encode`, whose results are stored batch by batch.

        Args:
            fingerprint: Of the encoder, its role, and every option that changes a vector.
            texts: What to encode. Equal texts are encoded once.
            encode: Texts to vectors. **Shape:** (n,) → (n, dimension). Not called where everything is known.
            batch_size: Texts of a call of `encode`: what a kill costs at most.

        Returns:
            float32. **Shape:** (len(texts), dimension).
        """
        keys = [_key(fingerprint, text) for text in texts]
        found = self._read(list(dict.fromkeys(keys)))
        unknown = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        self.hits += len(set(keys)) - len(unknown)
        self.misses += len(unknown)
        wanted = list(unknown.items())
        for start in range(0, len(wanted), batch_size):
            batch = wanted[start : start + batch_size]
            vectors = np.asarray(encode([text for _, text in batch]), dtype=np.float32)
            new = {key: vector for (key, _), vector in zip(batch, vectors, strict=True)}
            self._write(new)
            found |= new
        if not keys:
            return np.asarray(encode([]), dtype=np.float32)
        return np.stack([found[key] for key in keys])

    def __len__(self) -> int:
        with self._open() as connection:
            return int(connection.execute("SELECT count(*) FROM vectors").fetchone()[0])

    def close(self) -> None:
        """Close the file; twice is harmless."""
        with self._lock:
            self._closed = True
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """The connection, held by one thread at a time; opened on first use."""
        with self._lock:
            if self._closed:
                raise ClosedError("A cache can't be used after close(). Open it again.")
            try:
                if self._connection is None:
                    self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                    self._connection = sqlite3.connect(self.folder / _FILE, timeout=60.0, check_same_thread=False)
                    self._connection.execute("PRAGMA journal_mode = WAL")
                    self._connection.execute(_SCHEMA)
                yield self._connection
            except (sqlite3.Error, OSError) as error:
                raise StoreError(
                    f"The cache in {str(self.folder)!r} can't be used: {error}. Free space, mend its permissions, or "
                    "remove the folder: it holds nothing that can't be encoded again."
                ) from error

    def _read(self, keys: Sequence[bytes]) -> dict[bytes, Floats]:
        found: dict[bytes, Floats] = {}
        damaged = []
        with self._open() as connection:
            for start in range(0, len(keys), _VARIABLES):
                part = keys[start : start + _VARIABLES]
                marks = ",".join("?" * len(part))
                query = f"SELECT key, vector, check_sum FROM vectors WHERE key IN ({marks})"  # noqa: S608  # only marks
                for key, blob, check_sum in connection.execute(query, part):
                    if zlib.crc32(key + blob) == check_sum:
                        found[key] = np.frombuffer(blob, dtype="<f4")
                    else:
                        damaged.append((key,))
            if damaged:
                with connection:
                    connection.executemany("DELETE FROM vectors WHERE key = ?", damaged)
        self.dropped += len(damaged)
        return found

    def _write(self, vectors: dict[bytes, Floats]) -> None:
        rows = []
        for key, vector in vectors.items():
            blob = vector.astype("<f4").tobytes()
            rows.append((key, blob, zlib.crc32(key + blob)))
        with self._open() as connection, connection:
            connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)


def _key(fingerprint: str, text: str) -> bytes:
    return hashlib.sha256(f"{fingerprint}\x00{text}".encode()).digest()
