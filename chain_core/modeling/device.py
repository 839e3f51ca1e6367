"""Where to compute and how precisely: asked of the machine, never assumed."""

from __future__ import annotations

import contextlib
import gc
import os
from typing import Any

import torch
from torch import Tensor

from chain_core.errors import ConfigError, ResourceError


def choose_device(name: str = "auto") -> torch.device:
    """`auto`: a CUDA GPU, else Apple's, else the CPU. Raises ConfigError for a device that is not there.

    A worker that sees a single GPU knows from CHAIN_DEVICE which one of the machine's that is.
    """
    if name == os.environ.get("CHAIN_DEVICE"):
        name = name.partition(":")[0]
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    device = torch.device(name)
    here = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not here[device.type]:
        raise ConfigError("device_missing", path="train.device", given=name)
    return device


PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""As `train.precision` names them."""
_TENSOR_CORES = (7, 0)
"""The first NVIDIA generation that multiplies float16 faster than float32 (Volta)."""


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """`auto`: bfloat16 where the chip multiplies it natively (AMX, AVX-512 BF16, NVIDIA Ampere or newer), float16 on
    older NVIDIA chips with tensor cores (Volta, Turing), else float32."""
    if name != "auto":
        return PRECISIONS[name]
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return torch.bfloat16
        return torch.float16 if torch.cuda.get_device_capability(device) >= _TENSOR_CORES else torch.float32
    if device.type == "cpu":
        return torch.bfloat16 if has_native_bf16() else torch.float32
    return torch.float32


def name_precision(dtype: torch.dtype) -> str:
    """As `train.precision` does."""
    return next(name for name, known in PRECISIONS.items() if known == dtype)


def has_native_bf16() -> bool:
    """Whether this CPU has matrix or vector instructions for bfloat16."""
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)


def autocast(device: torch.device, dtype: torch.dtype) -> contextlib.AbstractContextManager[Any]:
    """Matrix products in `dtype`, sums and norms in float32; nothing where `dtype` is float32."""
    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype)


def to_working(states: Tensor) -> Tensor:
    """Cached float16 states in the precision that this pass multiplies in."""
    device = states.device.type
    return states.to(torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32)


_SHORT = ("out of memory", "not enough memory", "can't allocate memory", "ALLOC_FAILED")
"""What libraries say when memory is short, besides errors of their own kind."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device's or the machine's memory did not suffice."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _SHORT)


def explain_memory(device: torch.device, batch_size: int) -> ResourceError:
    """The sentence for it."""
    if device.type == "cpu":
        return ResourceError("memory_full")
    return ResourceError("device_memory", batch_size=batch_size)


def release_devices() -> None:
    """Give back all memory of devices that nothing holds any more."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
