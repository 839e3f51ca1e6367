"""The processes that train one run together: who they are, and what they tell each other.

Every process does the same steps in the same order; what only one may do (read the data, write the run's folder, heed
the user) the main one does for all. So each call here is made by all processes, as often and in the same order. A
process by itself is a team of one, whose calls cost nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from chain_core.errors import ConfigError, RunError
from chain_core.modeling.failures import agreed, portable
from chain_core.modeling.passing import pack, unpack

if TYPE_CHECKING:
    import torch
    from torch import Tensor

T = TypeVar("T")
WORDS = ("", "stop", "pause", "cancel")
"""What a control may say, as numbers that are cheap to pass on."""
LONGEST_WAIT = timedelta(hours=12)
"""For what one process does for all, such as reading rows. One that has died is noticed at once."""
LONGEST_SUM = timedelta(minutes=15)
"""For a sum on GPUs, where all should be at the same step."""
MEETING = timedelta(seconds=10)
"""For the others to have failed as well."""


@dataclass(frozen=True)
class Team:
    """One of `size` processes, number `rank`; on its machine it is one of `local_size`, number `local_rank`."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    sums: Any = None
    """The process group that sums tensors of the run's device; None: the one that all else goes through."""
    last: Any = None
    """The process group that is used only once all else has failed."""

    @property
    def main(self) -> bool:
        """Whether this process acts for all."""
        return self.rank == 0

    def deal(self, items: Sequence[T]) -> Sequence[T]:
        """This process's share of things that all of them know."""
        return items[self.rank :: self.size]

    def share(self, count: int) -> slice:
        """This process's part of so many rows, as long as the others' or one shorter; the last row where there are
        fewer rows than processes and none is left for it."""
        each, more = divmod(count, self.size)
        first = min(self.rank * each + min(self.rank, more), count - 1)
        return slice(first, max(first + each + (self.rank < more), first + 1))

    def lead(self, action: Callable[[], T]) -> T:
        """What `action` gives on the main process, where alone it runs; its failure is raised on all."""
        if self.size == 1:
            return action()
        packed = None
        if self.main:
            packed, failure = _attempt(lambda: pack((action(), None)))
            packed = packed or pack((None, failure))
        value, failure = unpack(_broadcast(packed))
        if failure is not None:
            raise agreed(failure)
        return value

    def together(self, action: Callable[[], T]) -> T:
        """What `action` gives on each process; where it fails on one, that is raised on all."""
        if self.size == 1:
            return action()
        value, failure = _attempt(action)
        self.agree(failure)
        return value  # type: ignore[return-value]

    def survey(self, action: Callable[[], T]) -> list[T]:
        """What `action` gives on each process, by rank, on all; where it fails on one, that is raised on all."""
        if self.size == 1:
            return [action()]
        found = self.gather(_attempt(action))
        _raise_first(failure for _, failure in found)
        return [value for value, _ in found]  # type: ignore[misc]

    def first(self, action: Callable[[], T]) -> T:
        """What `action` gives on each process, on the main one before the others, which find what it leaves on disk."""
        if self.size == 1:
            return action()
        value, failure = _attempt(action) if self.main else (None, None)
        self.agree(failure)
        value, failure = (value, None) if self.main else _attempt(action)
        self.agree(failure)
        return value  # type: ignore[return-value]

    def agree(self, failure: Exception | None) -> None:
        """Raises, on all, what has failed on the first process on which something has; memory alone comes last."""
        _raise_first(self.gather(failure))

    def gather(self, value: T) -> list[T]:
        """Every process's value, by rank, on all."""
        if self.size == 1:
            return [value]
        return [unpack(each) for each in _gather(pack(value), self.size)]

    def collect(self, value: T) -> list[T]:
        """Every process's value, by rank, on the main one; nothing on the others."""
        if self.size == 1:
            return [value]
        return [unpack(each) for each in _gather(pack(value), self.size, to_main=True)]

    def decide(self, flag: bool) -> bool:
        """The main process's answer, on all."""
        return flag if self.size == 1 else bool(self._pass_on(int(flag)))

    def follow(self, read_control: Callable[[], str]) -> Callable[[], str]:
        """A control by which all processes hear the main one's word when they ask for the same time."""
        if self.size == 1:
            return read_control
        return lambda: WORDS[self._pass_on(WORDS.index(read_control()) if self.main else 0)]

    def _pass_on(self, number: int) -> int:
        import torch

        told = torch.tensor([number])
        _call("broadcast", told, src=0)
        return int(told)

    def add(self, tensor: Tensor) -> None:
        """Sum a tensor of the run's device over all processes, in place."""
        if self.size > 1:
            _call("all_reduce", tensor, group=self.sums)

    def meet(self) -> bool:
        """Whether all processes get here within some seconds: where one has failed, whether all have."""
        if self.size == 1:
            return True
        try:
            _call("monitored_barrier", self.last, MEETING)
        except RunError:
            return False
        return True


SOLO = Team()


def join_team() -> Team:
    """The team that `accelerate launch`, torchrun or mpirun has made this process part of; SOLO where there is none."""
    if not is_launched():
        return SOLO
    from accelerate import PartialState
    from torch import distributed

    # Words go through the CPU, whatever trains: so a team talks before it has chosen its devices.
    state = PartialState(cpu=True, backend="gloo", timeout=LONGEST_WAIT)
    local_size = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    last = distributed.new_group(backend="gloo", timeout=MEETING)
    return Team(state.process_index, state.num_processes, state.local_process_index, local_size, last=last)


def is_launched() -> bool:
    """Whether this process is one of several."""
    return any(int(os.environ.get(name) or 1) > 1 for name in ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE"))


def open_device(team: Team, device: torch.device) -> Team:
    """The team as it sums on its devices, of which each process has one."""
    if team.size == 1 or device.type != "cuda":
        return team
    import torch
    from torch import distributed

    torch.cuda.set_device(device)
    return replace(team, sums=distributed.new_group(backend="nccl", timeout=LONGEST_SUM))


def choose_place(team: Team, name: str) -> str:
    """Which device of `train.device` is this process's own: each GPU takes one process.

    Raises ConfigError where there are too few, or a single one is named for all.
    """
    if team.size == 1:
        return name
    import torch

    if name == "auto":
        on_cpu = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("true", "1")
        name = "cuda" if torch.cuda.is_available() and not on_cpu else "cpu"
    if name == "cpu":
        return name
    if name != "cuda":
        raise ConfigError("device_of_many", path="train.device", given=name, processes=team.size)
    if team.local_rank >= torch.cuda.device_count():
        raise ConfigError(
            "devices_too_few", path="train.device", devices=torch.cuda.device_count(), processes=team.local_size
        )
    return f"cuda:{team.local_rank}"


def _raise_first(failures: Iterable[Exception | None]) -> None:
    from chain_core.modeling.device import is_out_of_memory

    found = [each for each in failures if each is not None]
    if found:
        raise agreed(next((each for each in found if not is_out_of_memory(each)), found[0]))


def _attempt(action: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return action(), None
    except Exception as error:
        return None, portable(error)


def _broadcast(packed: bytearray | None) -> np.ndarray:
    """The main process's bytes, (N,) uint8, on all."""
    import torch

    length = torch.tensor([len(packed or ())])
    _call("broadcast", length, src=0)
    told = (
        torch.empty(int(length), dtype=torch.uint8) if packed is None else torch.frombuffer(packed, dtype=torch.uint8)
    )
    _call("broadcast", told, src=0)
    return told.numpy()


def _gather(packed: bytearray, size: int, *, to_main: bool = False) -> list[np.ndarray]:
    """All processes' bytes, by rank, on all or on the main one alone; there nothing on the others."""
    import torch
    from torch import distributed

    lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(size)]
    _call("all_gather", lengths, torch.tensor([len(packed)]))
    told = torch.zeros(int(max(lengths)), dtype=torch.uint8)
    told[: len(packed)] = torch.frombuffer(packed, dtype=torch.uint8)
    takes = not to_main or distributed.get_rank() == 0
    found = [torch.empty_like(told) for _ in lengths] if takes else []
    if to_main:
        _call("gather", told, found or None, dst=0)
    else:
        _call("all_gather", found, told)
    return [part.numpy()[: int(length)] for part, length in zip(found, lengths, strict=False)]


def _call(name: str, *values: Any, **options: Any) -> Any:
    """One of torch's collectives. Raises RunError where another process is gone."""
    from torch import distributed

    from chain_core.modeling.device import is_out_of_memory

    try:
        return getattr(distributed, name)(*values, **options)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise RunError("process_lost") from error
