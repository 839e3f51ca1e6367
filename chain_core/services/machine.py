"""What this machine has: cores, memory, GPUs, the precision it chooses, how fast it multiplies matrices.

`read_machine` needs no torch and is what a screen shows at first; `measure_machine` runs in the worker, whose
result stands in the store under MACHINE_KEY from then on.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pyarrow as pa

if TYPE_CHECKING:
    from chain_core.services.store.store import Store

MACHINE_KEY = "machine"
_CGROUP = Path("/sys/fs/cgroup")
_TIMED_SECONDS = 0.1


@dataclass(frozen=True)
class Gpu:
    name: str
    memory: int
    """Bytes."""


@dataclass(frozen=True)
class Machine:
    """Facts of one machine; what only torch can tell is None until it was measured."""

    cores: int
    """That this process may use."""
    memory: int
    """Bytes that this process may use."""
    gpus: tuple[Gpu, ...] | None = None
    precision: str | None = None
    """"bf16", "fp16" or "fp32": what `precision: auto` comes to on the device that `device: auto` picks."""
    gflops: Mapping[str, float] = field(default_factory=dict)
    """Precision -> 1e9 floating-point operations a second in a square matrix product on that device."""

    @property
    def measured(self) -> bool:
        return self.precision is not None


def read_machine() -> Machine:
    """Cores and memory, within what a container allows."""
    return Machine(cores=_count_cores(), memory=_count_memory())


def load_machine(store: Store) -> Machine:
    """The worker's measurement, or `read_machine` while there is none."""
    here = read_machine()
    found = store.get_setting(MACHINE_KEY)
    if not found or (found["cores"], found["memory"]) != (here.cores, here.memory):
        return here  # nothing yet, or measured on another machine
    return Machine(**{**found, "gpus": tuple(Gpu(**gpu) for gpu in found["gpus"])})


def save_machine(store: Store, machine: Machine) -> None:
    """Keep a measurement; of each rate the best ever seen here, since others may be using the machine now."""
    best = dict(machine.gflops)
    for precision, rate in load_machine(store).gflops.items():
        best[precision] = max(rate, best.get(precision, 0.0))
    store.set_setting(MACHINE_KEY, asdict(replace(machine, gflops=best)))


def measure_machine() -> Machine:
    """Ask torch, and time a matrix product in float32 and in what is chosen here: a fraction of a second on the CPU."""
    import torch

    from chain_core.modeling.device import choose_device, choose_precision, name_precision

    device = choose_device()
    size = 512 if device.type == "cpu" else 4096
    chosen = choose_precision("auto", device)
    gflops = {name_precision(dtype): _time_product(device, dtype, size) for dtype in {torch.float32, chosen}}
    gpus = []
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            gpus.append(Gpu(properties.name, properties.total_memory))
    here = read_machine()
    return Machine(here.cores, here.memory, tuple(gpus), name_precision(chosen), gflops)


def release_memory() -> None:
    """Give the system back what Arrow's pool and the C library keep of memory that nothing holds any more.

    After a large table is read, that is most of what its process seems to need.
    """
    pa.default_memory_pool().release_unused()
    with contextlib.suppress(OSError, AttributeError):  # only glibc can be asked to
        ctypes.CDLL(None).malloc_trim(0)


@contextlib.contextmanager
def spare_collector() -> Iterator[None]:
    """Python's collector passes over all that is there now: with torch and transformers loaded each full collection
    takes a third of a second, and short training steps bring one on every few seconds."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _time_product(device: Any, dtype: Any, size: int) -> float:
    """The best of several timings, as 1e9 operations a second: others may be using the machine."""
    import torch

    first = torch.randn(size, size, device=device).to(dtype)
    second = torch.randn(size, size, device=device).to(dtype)

    def multiply() -> float:
        start = time.perf_counter()
        first @ second
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    multiply()
    times, end = [multiply()], time.perf_counter() + _TIMED_SECONDS
    while time.perf_counter() < end:
        times.append(multiply())
    return round(2 * size**3 / min(times) / 1e9, 1)


def _count_cores() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = (_CGROUP / "cpu.max").read_text().split()
        if quota != "max":
            cores = min(cores, max(1, -(-int(quota) // int(period))))
    return cores


def _count_memory() -> int:
    limits = [psutil.virtual_memory().total]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            limits.append(int((_CGROUP / name).read_text()))
    return min(limits)
