"""What of the backbone the links and heads read: which layers, and whether positions or one vector a row.

Pure arithmetic, without torch: the screens draw with it.
"""

from __future__ import annotations

from chain_core.config import POSITION_KINDS, ChainConfig, Config
from chain_core.errors import ConfigError

POOLED_KINDS = ("classification", "multilabel", "regression", "next_sentence")
"""Kinds of heads over one vector a row, or over two where there is a pair."""
TOKEN_KINDS = ("masked_lm", "causal_lm")
"""Kinds of heads that predict tokens, through the backbone's input embeddings."""
KINDS_OVER_POSITIONS = ("attention", "conv", "backbone")
"""Kinds of links that mix positions; the others work on pooled vectors as well."""


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


def name_layer(tap: int) -> int:
    """The number of the layer that gives h_t, which a link at tap t copies, begins from or is tied to.

    The embeddings (t = 0) come from no layer: there it is layer 1, which reads them.
    """
    return max(tap, 1)


def find_owner(config: Config, position: int) -> int:
    """The link whose f_k the link at `position` uses: itself, or the one that its ties lead to."""
    tie = config.get_link(position).tie
    while isinstance(tie, int):
        position = tie
        tie = config.get_link(position).tie
    return position


def find_copied_layers(config: Config, num_layers: int) -> dict[int, int]:
    """Position of each link that needs the weights of a backbone layer -> that layer's number."""
    taps = choose_taps(config.chain, num_layers)
    needed = {}
    for position, tap in enumerate(taps, start=1):
        link = config.get_link(position)
        if find_owner(config, position) == position and "backbone" in (link.kind, link.init):
            needed[position] = name_layer(tap)
    return needed


def find_layers_read(config: Config, num_layers: int) -> tuple[int, ...]:
    """The backbone layers that links and heads read, ascending."""
    layers = set(choose_taps(config.chain, num_layers))
    if any(0 in config.get_depths(name) for name in config.heads or {}):
        layers.add(num_layers)
    return tuple(sorted(layers))


def pools_pair(config: Config, name: str) -> bool:
    """Whether a head pools each text of a pair by itself."""
    head = (config.heads or {})[name]
    if head.kind not in POOLED_KINDS or head.pooling == "row":
        return False
    return head.pooling == "pair" or head.kind == "next_sentence" or bool(config.get_input(name).pair)


def needs_places(config: Config) -> bool:
    """Whether any head must know which characters or words each position covers."""
    return any(head.kind in ("span", "relation") for head in (config.heads or {}).values())


def needs_positions(config: Config) -> bool:
    """Whether any link or head works on positions; if none does, pooled vectors are what is cached."""
    links = (config.get_link(position) for position in range(1, config.chain.depth + 1))
    return (
        config.backbone.tuning != "frozen"
        or config.uses_lexical
        or any(head.kind in POSITION_KINDS for head in (config.heads or {}).values())
        or any(pools_pair(config, name) for name in config.heads or {})
        or any(link.kind in KINDS_OVER_POSITIONS for link in links)
    )
