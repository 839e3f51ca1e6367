"""A backbone too large for each process: its tuned layers' weights, gradients and moments are shared out.

Each process keeps a part of every tensor of a layer (torch's FSDP2); a layer is put together where it is needed, and
its gradient goes, summed, to whoever keeps the part. All else of a model is small and whole in every process. Passes
must then be made by all processes alike, since each pass puts layers together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import psutil
import torch
from torch import Tensor, nn

from chain_core.config import Config
from chain_core.config.shards import find_unshardable
from chain_core.modeling.backbones.backbone import find_layers
from chain_core.modeling.model import ChainModel
from chain_core.modeling.team import Team

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor
    from typing_extensions import TypeIs

LARGE = 1 / 3
"""Of a device's memory: where the tuned layers would take more, `train.shard: auto` shares them out."""


def is_worth_sharding(config: Config, model: ChainModel, device: torch.device, team: Team) -> bool:
    """Whether the tuned layers are to be shared out, as the config says and the memory asks."""
    if team.size == 1 or model.upper is None or config.train.shard == "off" or find_unshardable(config):
        return False
    if config.train.shard == "on":
        return True
    needed = sum(map(compute_bytes, list_layers(model)))
    return team.lead(lambda: needed > LARGE * read_memory(device, team))


def compute_bytes(layer: nn.Module) -> int:
    """What a layer takes while it is trained: float32 weights, and of those that train a gradient and two moments."""
    return sum(4 * parameter.numel() * (4 if parameter.requires_grad else 1) for parameter in layer.parameters())


def read_memory(device: torch.device, team: Team) -> int:
    """Bytes of the device, or of the machine for each of its processes."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return psutil.virtual_memory().total // team.local_size


def list_layers(model: ChainModel) -> Sequence[nn.Module]:
    """The backbone's tuned layers."""
    assert model.upper is not None
    return list(find_layers(model.upper.model, model.upper.stop - model.upper.start))


def shard(model: ChainModel, device: torch.device, team: Team) -> None:
    """Share the tuned layers out, on the device; what is not a layer stays where it is."""
    from torch.distributed import group
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.fsdp import fully_shard

    members: Any = team.sums or group.WORLD
    mesh = DeviceMesh.from_group(members, device.type)
    for layer in list_layers(model):
        # Each layer is a root of its own, which by default would stay whole between the passes.
        single = {parameter for parameter in layer.parameters() if not parameter.ndim}  # has no rows to share out
        for parameter in layer.parameters():
            parameter.data = parameter.data.contiguous()  # prefixes lie as attention reads them
        sharded: Any = fully_shard(layer, mesh=mesh, reshard_after_forward=True, ignored_params=single)
        # A sum, not a mean: each process's loss is its share of the batch's. gloo knows sums alone.
        sharded.set_gradient_divide_factor(1.0)
        sharded.set_force_sum_reduction_for_comms(True)
    model.sharded = True


def is_sharded(tensor: Tensor) -> TypeIs[DTensor]:
    """Whether a tensor is one of which this process keeps a part."""
    return hasattr(tensor, "placements")


def collect_whole(tensors: Mapping[str, Tensor], team: Team) -> dict[str, Tensor]:
    """The tensors put together, on the main process's CPU as far as they were shared out; the others help."""
    whole = {}
    for name, value in tensors.items():
        full = value.full_tensor().cpu() if is_sharded(value) else value
        if team.main:
            whole[name] = full
    return whole


def share_out(tensors: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Whole tensors, known to all processes, as parts where those of `like` are."""
    return {name: share_one(value, like[name]) if name in like else value for name, value in tensors.items()}


def share_one(value: Tensor, like: Tensor) -> Tensor:
    if not is_sharded(like) or is_sharded(value):
        return value
    from torch.distributed.tensor import distribute_tensor

    here = value.to(like.device)
    return distribute_tensor(here, like.device_mesh, like.placements, src_data_rank=None)


@torch.no_grad()
def compute_norms(groups: Mapping[str, Iterable[Tensor]], team: Team) -> dict[str, Tensor]:
    """The 2-norm of each group of gradients, of which some are kept in parts."""
    squares = torch.stack([_square(group, parts=parts) for group in groups.values() for parts in (False, True)])
    own = squares.view(-1, 2)
    parts = own[:, 1].contiguous()
    team.add(parts)
    return dict(zip(groups, (own[:, 0] + parts).sqrt(), strict=True))


def _square(gradients: Iterable[Tensor], *, parts: bool) -> Tensor:
    """The sum of squares of those that are whole, or of this process's parts of the others."""
    gradients = list(gradients)
    kept = [get_own(gradient) for gradient in gradients if is_sharded(gradient) is parts]
    zero = torch.zeros((), device=gradients[0].device)
    return sum((gradient.float().square().sum() for gradient in kept), zero)


def get_own(tensor: Tensor) -> Tensor:
    """This process's part of a tensor that is shared out, the same memory; any other as it is."""
    return tensor.to_local() if is_sharded(tensor) else tensor


@torch.no_grad()
def clip_gradient(model: ChainModel, largest: float, team: Team) -> None:
    """Scale the gradient down to a norm of at most `largest`."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not model.sharded:
        nn.utils.clip_grad_norm_(trained, largest)
        return
    gradients = [parameter.grad for parameter in trained if parameter.grad is not None]
    norm = compute_norms({"": gradients}, team)[""]
    scale = (largest / (norm + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        get_own(gradient).mul_(scale)
