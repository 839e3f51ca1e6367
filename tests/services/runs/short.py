"""The command line of one process of a team whose second one runs out of memory in the midst of a pass, when the first
waits for it to put the next layer together."""

from __future__ import annotations

import os
import sys
from typing import Any

import torch

from chain_core.cli.main import main
from chain_core.modeling.backbones.sharding import list_layers
from chain_core.training import loop

PASSES = 3
"""That go well."""


def run_short(shard: Any) -> Any:
    calls = iter(range(PASSES + 1))

    def count(*given: Any) -> None:
        if next(calls) == PASSES:
            raise torch.OutOfMemoryError("out of memory")

    def prepare(model: Any, *given: Any) -> None:
        shard(model, *given)
        list_layers(model)[-1].register_forward_pre_hook(count)

    return prepare


if __name__ == "__main__":
    if os.environ["RANK"] == "1":
        loop.shard = run_short(loop.shard)
    sys.exit(main(sys.argv[1:]))
