"""Tables in Parquet files: written whole or not at all, with their facts in the schema's key-value metadata.

The only file that imports pyarrow.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bicross.errors import MissingExtraError, ReadError
from bicross.types import Floats
from bicross.whole_file import whole_file

_KEY = b"bicross"
_KINDS = {"string": "strings", "id": "strings or whole numbers", "number": "numbers"}
_GROUP = 65_536
"""Rows of a row group: what a reader holds at once."""


def write_table(path: Path, columns: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write columns to a file that appears once it is complete.

    Args:
        path: The file.
        columns: Lists of strings and arrays of numbers by name, all of one length. NaN is written as null.
        facts: JSON values, written under the key ``bicross`` of the schema's metadata.

    Raises:
        StorageFullError: The disk is full; what was there before stays.
        MissingExtraError: pyarrow isn't installed.
    """
    pa, pq = _pyarrow()
    arrays = [pa.array(v, pa.string() if isinstance(v, list) else None, from_pandas=True) for v in columns.values()]
    table = pa.Table.from_arrays(arrays, names=list(columns))
    table = table.replace_schema_metadata({_KEY: json.dumps(facts, sort_keys=True).encode()})
    with whole_file(path) as part:
        pq.write_table(table, part, row_group_size=_GROUP, compression="zstd")


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows, whose columns are those of the first, to a file that appears once it is complete.

    Raises:
        StorageFullError: The disk is full; what was there before stays.
        MissingExtraError: pyarrow isn't installed.
    """
    pa, pq = _pyarrow()
    table = pa.Table.from_pylist(list(rows))
    with whole_file(path) as part:
        pq.write_table(table, part, row_group_size=_GROUP, compression="zstd")


def read_table(path: Path, needed: Mapping[str, str]) -> tuple[Any, dict[str, Any]]:
    """Read a file's table and its facts.

    Args:
        path: The file.
        needed: Columns that it must have, and the kind of each: ``string``, ``number``, or ``id``, a string or a whole
            number.

    Raises:
        ReadError: The file is missing, is no Parquet file, or lacks a column; names it.
        MissingExtraError: pyarrow isn't installed.
    """
    pa, pq = _pyarrow()
    try:
        table = pq.read_table(path, partitioning=None)
    except FileNotFoundError:
        raise ReadError(f"{path} is missing. Check the path.") from None
    except (pa.ArrowException, OSError) as error:
        raise ReadError(f"{path} isn't a Parquet file that can be read ({error}). Write it anew.") from error
    for name, kind in needed.items():
        if name not in table.column_names:
            raise ReadError(f"{path} needs the column {name!r}; it has {table.column_names!r}.")
        got = table.schema.field(name).type
        got = got.value_type if pa.types.is_dictionary(got) else got
        is_text = pa.types.is_string(got) or pa.types.is_large_string(got)
        is_whole = pa.types.is_integer(got)
        is_number = pa.types.is_floating(got) or is_whole or pa.types.is_null(got)
        if not {"string": is_text, "id": is_text or is_whole, "number": is_number}[kind]:
            raise ReadError(f"{path}: the column {name!r} must hold {_KINDS[kind]}; it holds {got}.")
        if kind != "number" and table.column(name).null_count:
            raise ReadError(f"{path}: the column {name!r} must have a value in every row; some have none.")
    facts = json.loads((table.schema.metadata or {}).get(_KEY, b"{}"))
    return table, facts


def strings(table: Any, column: str) -> list[str]:
    """A column of strings, or of numbers as such. Equal ones are one object: a million repeats cost a pointer each."""
    pa, _ = _pyarrow()
    combined = table.column(column).combine_chunks()
    if pa.types.is_dictionary(combined.type):
        combined = combined.cast(combined.type.value_type)
    encoded = combined.dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    values = encoded.dictionary.cast(pa.large_string()).to_pylist()
    return [values[i] for i in encoded.indices.to_numpy().tolist()]


def floats(table: Any, column: str) -> Floats:
    """A column of numbers; NaN where it holds null. **Shape:** (rows,)."""
    return np.asarray(table.column(column).to_numpy(), dtype=np.float32)


def integers(table: Any, column: str) -> npt.NDArray[np.int32]:
    """A column of whole numbers; 0 where it holds null. **Shape:** (rows,)."""
    return np.asarray(np.nan_to_num(table.column(column).to_numpy(), nan=0), dtype=np.int32)


def rows(table: Any) -> Iterator[dict[str, Any]]:
    """A table's rows as values by column."""
    for batch in table.to_batches(max_chunksize=_GROUP):
        yield from batch.to_pylist()


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError("Parquet files need pyarrow. Install it: pip install 'bicross[distill]'") from error
    return pa, pq
