"""Build a shard's index in a process of its own: the engine holds Python's lock while it builds.

The calling process keeps the collection's lock and has the shard closed meanwhile. A kill of either process harms
nothing: the engine's own log covers a shard whose optimisation was cut short.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

from bicross.errors import StoreError
from bicross.stores.folder import Folder

_DONE = 0
_NOTHING_TO_DO = 3
_PR_SET_PDEATHSIG = 1


def optimize_in_child(path: Path) -> bool:
    """Build the index of the closed shard of a collection's folder; whether there was anything to do.

    Raises:
        StoreError: The process failed; the shard is as it was.
    """
    command = [sys.executable, "-P", "-m", __name__, str(path), str(os.getpid())]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(  # noqa: S603  # this interpreter and this module
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode not in (_DONE, _NOTHING_TO_DO):
        reason = done.stderr.decode(errors="replace").strip().splitlines() or [f"it ended with {done.returncode}"]
        raise StoreError(
            f"The index of {str(path)!r} is built in a process of its own, and that failed: {reason[-1]}. Every "
            "passage is there and found as before; free some memory and optimise again."
        )
    return done.returncode == _DONE


def _optimize(path: Path, parent: int) -> int:
    from bicross.stores.edge import EdgeEngine

    _die_with(parent)
    folder, engine = Folder(path), EdgeEngine()
    header = folder.read_header()
    if header is None:
        raise StoreError(f"There is no collection in {str(path)!r}.")
    os.nice(5)  # whoever computes meanwhile goes first
    shard = engine.load(folder.shard, header)
    changed = shard.optimize()
    shard.flush()
    shard.close()
    return _DONE if changed else _NOTHING_TO_DO


def _die_with(parent: int) -> None:
    """On Linux: be killed when the parent is, so that the shard is free for whoever opens it next."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit(f"process {parent} is gone")


if __name__ == "__main__":
    sys.exit(_optimize(Path(sys.argv[1]), int(sys.argv[2])))
