"""The devices of this machine that get a worker each, found without torch, and what each of them may do.

CHAIN_DEVICES="cpu,cuda:0" chooses; otherwise the CPU, and the GPUs that `nvidia-smi` lists.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence

VARIABLE = "CHAIN_DEVICES"
OWN = "CHAIN_DEVICE"
"""Tells a worker which device it has; of the GPUs it sees no other one, so that this is its first."""
_KNOWN = re.compile(r"cpu|cuda:\d+")
_MOST_GPUS = 64
_SECONDS = 20.0


def find_devices() -> tuple[str, ...]:
    """Names as `train.device` takes them: cpu, cuda:0, cuda:1, …"""
    chosen = [name.strip() for name in os.environ.get(VARIABLE, "").split(",")]
    known = tuple(dict.fromkeys(name for name in chosen if _KNOWN.fullmatch(name)))
    return known or ("cpu", *(f"cuda:{number}" for number in range(_count_gpus())))


def list_wishes(device: str, devices: Sequence[str], *, alone: bool) -> list[str]:
    """The values of `train.device` whose runs the worker of a device takes.

    `auto` is a GPU where there is one. `alone`: no other machine shares the queue, so that a wish for a device which
    nobody has is taken as well; such a run ends with a sentence that says so.
    """
    gpus = [name for name in devices if name != "cpu"]
    if device != "cpu":
        return ["auto", "cuda", device]
    if not gpus:
        wishes = ["auto", "cpu", "mps"]
        return [*wishes, "cuda", *_list_cuda()] if alone else wishes
    return ["cpu", "mps", *(name for name in _list_cuda() if name not in gpus)] if alone else ["cpu", "mps"]


def build_environment(device: str) -> dict[str, str]:
    """What a worker's environment needs for it to see no GPU but its own."""
    number = device.partition(":")[2]
    if not number:
        return {OWN: device, "CUDA_VISIBLE_DEVICES": ""}
    visible = _list_visible()
    own = visible[int(number)] if visible is not None and int(number) < len(visible) else number
    return {OWN: device, "CUDA_VISIBLE_DEVICES": own}


def _count_gpus() -> int:
    visible = _list_visible()
    if visible is not None:
        return len(visible)
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines()) if listed.returncode == 0 else 0


def _list_visible() -> list[str] | None:
    """What CUDA_VISIBLE_DEVICES lets this process see; None where it does not say."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return None
    return [name.strip() for name in given.split(",") if name.strip() not in ("", "-1")]


def _list_cuda() -> list[str]:
    return [f"cuda:{number}" for number in range(_MOST_GPUS)]
