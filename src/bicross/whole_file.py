"""Files that appear once they are complete, whatever ends the process that writes them."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bicross.errors import StorageFullError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """The name to write to; what is there takes the file's own name at the end.

    Args:
        path: The file; its folder is created.

    Raises:
        StorageFullError: The disk is full; what was there before stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        if error.errno == errno.ENOSPC:
            raise StorageFullError(
                f"{path} can't be written: the disk is full. Free space and run again; nothing that was there is lost."
            ) from error
        raise
