"""Vectors and scores on disk, by model fingerprint and text: what was computed once is never computed again.

SQLite in write-ahead mode: a stored row survives `kill -9`, and several processes may share the folder. The key is a
SHA-256 over the fingerprint and the texts, so that a changed model or prompt finds nothing of the old one; a checksum
of the row's bytes tells a damaged one, which is dropped and computed anew.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
import zlib
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from bicross.errors import ClosedError, InputError, StorageFullError, StoreError
from bicross.lifecycle import Closing
from bicross.progress import progress
from bicross.witness import WITNESS_PAIRS, WITNESS_TEXT, check_witness, check_witness_scores, witness_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bicross.types import Encoder, Floats, Scorer

Pair = tuple[str, str]

_BATCH = 512
_VARIABLES = 500
_LOOKED_UP = 65_536
"""Pairs whose keys are held at once; a million pairs need no more."""
_REMEDY = "Remove the folder, or name another one."


class _Rows(Closing):
    """Rows of float32 in one table of one file. Safe for threads and for several processes."""

    _kind: ClassVar[str]

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.hits = 0
        self.misses = 0
        self.dropped = 0
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    def __len__(self) -> int:
        with self._open() as connection:
            return int(connection.execute(f"SELECT count(*) FROM {self._kind}s").fetchone()[0])  # noqa: S608

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
                    file = self.folder / f"{self._kind}s.sqlite"
                    self._connection = sqlite3.connect(file, timeout=60.0, check_same_thread=False)
                    self._connection.execute("PRAGMA journal_mode = WAL")
                    self._connection.execute(
                        f"CREATE TABLE IF NOT EXISTS {self._kind}s "
                        f"(key BLOB PRIMARY KEY, {self._kind} BLOB NOT NULL, check_sum INTEGER NOT NULL)"
                    )
                yield self._connection
            except (sqlite3.Error, OSError) as error:
                if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                    raise StorageFullError(
                        f"The cache in {str(self.folder)!r} can't grow: the disk is full. Free space and run again; "
                        "what was stored before is kept."
                    ) from error
                raise StoreError(
                    f"The cache in {str(self.folder)!r} can't be used: {error}. Free space, mend its permissions, or "
                    "remove the folder: it holds nothing that can't be computed again."
                ) from error

    def _read(self, keys: Sequence[bytes]) -> dict[bytes, Floats]:
        found: dict[bytes, Floats] = {}
        damaged = []
        with self._open() as connection:
            for start in range(0, len(keys), _VARIABLES):
                part = keys[start : start + _VARIABLES]
                marks = ",".join("?" * len(part))
                query = f"SELECT key, {self._kind}, check_sum FROM {self._kind}s WHERE key IN ({marks})"  # noqa: S608
                for key, blob, check_sum in connection.execute(query, part):
                    if zlib.crc32(key + blob) == check_sum:
                        found[key] = np.frombuffer(blob, dtype="<f4")
                    else:
                        damaged.append((key,))
            if damaged:
                with connection:
                    connection.executemany(f"DELETE FROM {self._kind}s WHERE key = ?", damaged)  # noqa: S608
        self.dropped += len(damaged)
        return found

    def _write(self, rows: dict[bytes, Floats]) -> None:
        blobs = []
        for key, row in rows.items():
            blob = row.astype("<f4").tobytes()
            blobs.append((key, blob, zlib.crc32(key + blob)))
        with self._open() as connection, connection:
            connection.executemany(f"INSERT OR REPLACE INTO {self._kind}s VALUES (?, ?, ?)", blobs)  # noqa: S608

    def _missing(self, keys: Sequence[bytes], found: dict[bytes, Floats]) -> dict[bytes, int]:
        """Keys that weren't found, with the position of the first of each; counts both."""
        missing: dict[bytes, int] = {}
        for position, key in enumerate(keys):
            if key not in found:
                missing.setdefault(key, position)
        self.hits += len(found)
        self.misses += len(missing)
        return missing


class VectorCache(_Rows):
    """Vectors in a folder, in the file ``vectors.sqlite``. Safe for threads and for several processes.

    Args:
        folder: Where they are kept; created where it doesn't exist.
    """

    _kind = "vector"

    def encode(
        self,
        fingerprint: str,
        texts: Sequence[str],
        encode: Callable[[Sequence[str]], Floats],
        batch_size: int = _BATCH,
        *,
        show_progress: bool | None = False,
    ) -> Floats:
        """Vectors of texts: from the cache, or from `encode`, whose results are stored batch by batch.

        Args:
            fingerprint: Of the encoder, its role, and every option that changes a vector.
            texts: What to encode. Equal texts are encoded once.
            encode: Texts to vectors. **Shape:** (n,) → (n, dimension). Not called where everything is known.
            batch_size: Texts of a call of `encode`: what a kill costs at most.
            show_progress: None: on a terminal, once it takes more than two seconds.

        Returns:
            float32. **Shape:** (len(texts), dimension).

        Raises:
            InputError: The encoder returned NaN or infinity; names the text. Earlier batches are kept.
        """
        keys = [_key(fingerprint, text) for text in texts]
        found = self._read(list(dict.fromkeys(keys)))
        missing = list(self._missing(keys, found).items())
        with progress("encoding", len(missing), show_progress) as advance:
            for start in range(0, len(missing), batch_size):
                batch = missing[start : start + batch_size]
                vectors = np.asarray(encode([texts[position] for _, position in batch]), dtype=np.float32)
                if not (fine := np.isfinite(vectors).reshape(len(vectors), -1).all(axis=1)).all():
                    text = texts[batch[int(np.argmin(fine))][1]]
                    raise InputError(
                        f"A vector must be finite, got NaN or infinity for text {text!r:.80}. Nothing of this batch "
                        "was kept; mend the encoder and run again."
                    )
                new = {key: vector for (key, _), vector in zip(batch, vectors, strict=True)}
                self._write(new)
                found |= new
                advance(len(batch))
        if not keys:
            return np.asarray(encode([]), dtype=np.float32)
        return np.stack([found[key] for key in keys])


def check_kept(cache: VectorCache, encoder: Encoder) -> None:
    """Compare an encoder whose fingerprint is a name alone with the one that filled a cache, by a fixed text's vector.

    Raises:
        FingerprintMismatchError: The model behind the name has changed.
    """
    now = witness_of(encoder)
    if now is not None:
        kept = cache.encode(encoder.document_fingerprint, [WITNESS_TEXT], lambda _: now[None])[0]
        check_witness(np.array(kept), now, f"The cache in {str(cache.folder)!r}", _REMEDY)


class ScoreCache(_Rows):
    """A scorer's raw scores of (query, text) pairs in a folder, in the file ``scores.sqlite``.

    Safe for threads and for several processes.

    Args:
        folder: Where they are kept; created where it doesn't exist.
    """

    _kind = "score"

    def find(self, fingerprint: str, pairs: Sequence[Pair]) -> Floats:
        """Scores of the pairs that are in the cache, NaN for the others. **Shape:** (len(pairs),)."""
        keys = [_key(fingerprint, *pair) for pair in pairs]
        found = self._read(list(dict.fromkeys(keys)))
        self.hits += len(found)
        return np.array([found[key][0] if key in found else np.nan for key in keys], dtype=np.float32)

    def score(
        self,
        fingerprint: str,
        pairs: Sequence[Pair],
        score: Callable[[Sequence[Pair]], Floats],
        batch_size: int = _BATCH,
        *,
        show_progress: bool | None = False,
    ) -> Floats:
        """Scores of pairs: from the cache, or from `score`, whose results are stored batch by batch.

        Args:
            fingerprint: Of the scorer, before any activation; see `bicross.cross_encoder.raw_fingerprint`.
            pairs: (query, text). Equal pairs are scored once.
            score: Pairs to scores before any activation. **Shape:** (n,) → (n,). Not called where everything is known.
            batch_size: Pairs of a call of `score`: what a kill costs at most.
            show_progress: None: on a terminal, once it takes more than two seconds.

        Returns:
            float32. **Shape:** (len(pairs),).

        Raises:
            InputError: The scorer returned NaN or infinity, or another number of scores; names the pair.
        """
        scores = np.empty(len(pairs), dtype=np.float32)
        with progress("scoring", len(pairs), show_progress) as advance:
            for start in range(0, len(pairs), _LOOKED_UP):
                part = pairs[start : start + _LOOKED_UP]
                keys = [_key(fingerprint, *pair) for pair in part]
                found = self._read(list(dict.fromkeys(keys)))
                missing = list(self._missing(keys, found).items())
                advance(len(part) - len(missing))
                for first in range(0, len(missing), batch_size):
                    batch = missing[first : first + batch_size]
                    asked = [part[position] for _, position in batch]
                    new = check_scores(score(asked), asked)
                    self._write({key: new[i : i + 1] for i, (key, _) in enumerate(batch)})
                    found |= {key: new[i : i + 1] for i, (key, _) in enumerate(batch)}
                    advance(len(batch))
                scores[start : start + len(part)] = [found[key][0] for key in keys]
        return scores


def check_kept_scores(cache: ScoreCache, scorer: Scorer) -> None:
    """Compare a scorer whose fingerprint is a name alone with the one that filled a cache, by fixed pairs' scores.

    Raises:
        FingerprintMismatchError: The model behind the name has changed.
    """
    now = witness_of(scorer)
    if now is not None:
        by_pair = dict(zip(WITNESS_PAIRS, now.tolist(), strict=True))
        kept = cache.score(
            scorer.fingerprint, WITNESS_PAIRS, lambda pairs: np.array([by_pair[pair] for pair in pairs], np.float32)
        )
        check_witness_scores(kept, now, f"The cache in {str(cache.folder)!r}", _REMEDY)


def check_scores(scores: Floats, pairs: Sequence[Pair]) -> Floats:
    """A scorer's answer, once it is known to be one finite number for each pair. **Shape:** (len(pairs),).

    Raises:
        InputError: It isn't; names the pair.
    """
    array = np.asarray(scores, dtype=np.float32)
    if array.shape != (len(pairs),):
        raise InputError(f"A scorer gives one score for each of {len(pairs)} pairs, got an array {array.shape}.")
    if not np.isfinite(array).all():
        position = int(np.flatnonzero(~np.isfinite(array))[0])
        query, text = pairs[position]
        raise InputError(
            f"A scorer's scores must be finite, got {float(array[position])!r} for query {query!r:.80} and text "
            f"{text!r:.80}. Mend the scorer and run again."
        )
    return array


def _key(fingerprint: str, *texts: str) -> bytes:
    # Lengths keep a query and a text apart whatever they hold.
    lengths = "".join(f"{len(text)}\x00" for text in texts[:-1])
    key = f"{fingerprint}\x00{lengths}{''.join(texts)}"
    # A lone surrogate has a key, too, so that the model is asked, which names the text.
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
