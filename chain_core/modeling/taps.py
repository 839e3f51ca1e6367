"""Which backbone layer each link reads. Pure arithmetic, without torch: the screens draw with it."""

from __future__ import annotations

from chain_core.config import ChainConfig
from chain_core.errors import ConfigError


def choose_taps(chain: ChainConfig, num_layers: int) -> tuple[int, ...]:
    """t_1 … t_depth: as given, or evenly spaced over the layers, ending at the last.

    Raises ConfigError for a tap that the backbone does not have.
    """
    if chain.taps is not None:
        for index, tap in enumerate(chain.taps):
            if tap > num_layers:
                raise ConfigError("tap_beyond", path=f"chain.taps[{index}]", given=tap, limit=num_layers)
        return chain.taps
    if chain.depth > num_layers:
        # More links than layers: the embeddings (0) join in, and layers are read more than once.
        return tuple(round(link * num_layers / (chain.depth - 1)) for link in range(chain.depth))
    return tuple(round(link * num_layers / chain.depth) for link in range(1, chain.depth + 1))
