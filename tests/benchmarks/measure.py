"""What a process took: seconds since it was started, its peak memory, what it left on the disk."""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from pathlib import Path
from typing import Any

STARTED = "CHAIN_BENCHMARK_STARTED"
"""Environment variable: the monotonic clock, in seconds, when the process was started."""
MEGABYTE = 1e6


def seconds_since_start() -> float:
    """Since the process was started: the interpreter's start and all imports count."""
    return time.monotonic() - float(os.environ[STARTED])


def read_cpu_seconds() -> float:
    """Of all threads of this process so far: what a busy machine does not change."""
    return time.process_time()


def read_memory() -> dict[str, float]:
    """The most memory that this process ever held, of the machine and, where it used one, of the GPU, in MB."""
    from torch import cuda

    held = {"memory_mb": read_peak_mb()}
    if cuda.is_available() and (device := cuda.max_memory_allocated()):
        held["gpu_memory_mb"] = device / MEGABYTE
    return held


def read_peak_mb() -> float:
    """The most memory that this process ever held, in MB (of 10^6 bytes), mapped files included."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / MEGABYTE
    except OSError:
        pass
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MEGABYTE


def measure_folder_mb(folder: Path) -> float:
    """All files below a folder, in MB."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / MEGABYTE


def describe_machine() -> dict[str, Any]:
    """Where a figure was measured. Loads torch."""
    import torch

    return {
        "cpu": _read_cpu(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "native_bf16": has_native_bf16(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


def has_native_bf16() -> bool:
    """Whether the GPU, or else the CPU, multiplies bfloat16 natively."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)


def _read_cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
