"""What this machine computes with, found without importing torch."""

from __future__ import annotations

import math
import os
import platform
import sys
from functools import cache
from pathlib import Path

_ACCELERATORS = ("/dev/nvidiactl", "/dev/nvidia0", "/proc/driver/nvidia/version", "/dev/kfd", "/dev/dxg")


@cache
def cpu_flags() -> frozenset[str]:
    """The instruction sets that the kernel lists; empty where it lists none (macOS, Windows)."""
    return frozenset(_cpu_info("flags", "Features").split())


@cache
def is_intel() -> bool:
    """Whether the kernel says that Intel made the CPU."""
    return _cpu_info("vendor_id").strip() == "GenuineIntel"


def _cpu_info(*names: str, path: Path = Path("/proc/cpuinfo")) -> str:
    """What the kernel says of the first core under one of these names; empty where it says nothing."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    return next((line.split(":", 1)[1] for line in lines if line.startswith(names)), "")


def is_x86() -> bool:
    """Whether the instruction sets have Intel's names."""
    return platform.machine().lower() in ("x86_64", "amd64", "i686")


def has_avx2() -> bool:
    """Whether the graph backends' kernels run at speed: false only on an x86 CPU that lists its flags without AVX2."""
    return not is_x86() or not cpu_flags() or "avx2" in cpu_flags()


def has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 matrices in hardware."""
    return bool(cpu_flags() & {"avx512_bf16", "amx_bf16"})


def has_fast_bfloat16() -> bool:
    """Whether it does so faster than in float32: Intel's avx512_bf16 without AMX takes longer (`docs/speed.md`)."""
    return has_bfloat16() and ("amx_bf16" in cpu_flags() or not is_intel())


def has_int8_dot() -> bool:
    """Whether the CPU has a dot product of 8-bit integers that can't overflow (VNNI, or ARM's)."""
    return bool(cpu_flags() & {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"})


def own_cores() -> list[int]:
    """Numbers of the cores that the calling thread may run on; empty where the system doesn't say (macOS, Windows)."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def usable_cores() -> int:
    """How many cores this process may use: its affinity, within the container's quota."""
    return max(1, min(len(own_cores()) or os.cpu_count() or 1, quota()))


def quota(path: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Cores that a cgroup (version 2) grants, rounded up."""
    try:
        granted, period = path.read_text(encoding="ascii").split()
        return math.ceil(int(granted) / int(period))
    except (OSError, ValueError):  # no cgroup, or the word "max"
        return sys.maxsize


def may_have_accelerator() -> bool:
    """Whether asking torch for a graphics card is worth importing it."""
    return sys.platform in ("darwin", "win32") or any(Path(name).exists() for name in _ACCELERATORS)
