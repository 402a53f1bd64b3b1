"""Keeps a library from leaving a thread with a signal stack that it frees later."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

_DISABLED = 2
"""Linux' SS_DISABLE: handlers run on the thread's own stack."""


class Stack(ctypes.Structure):
    """Linux' stack_t."""

    _fields_ = (("pointer", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def kept_signal_stack() -> Iterator[None]:
    """The calling thread has the same alternate signal stack afterwards as before; on Linux.

    Loading a model with OpenVINO sets one. Closing models in the order in which they were loaded makes the stack of a
    closed one current again: the next signal, such as Ctrl+C, then ends the process with a segmentation fault.
    """
    call = _sigaltstack()
    if call is None:
        yield
        return
    before, after = Stack(), Stack()
    call(None, ctypes.byref(before))
    try:
        yield
    finally:
        call(None, ctypes.byref(after))
        if after.pointer != before.pointer:
            before.flags &= _DISABLED  # whether a handler runs on it now can't be set
            call(ctypes.byref(before), None)


@cache
def _sigaltstack() -> Any:
    return ctypes.CDLL(None).sigaltstack if sys.platform == "linux" else None
