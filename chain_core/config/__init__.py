"""What a run is asked to do: frozen values, read from YAML and written back complete.

sections   every key: type, range, default, unit
resolve    a user's mapping -> Config, or what is wrong with it
explain    what is wrong, in words, with the key's path (`chain.links[2].density`)
text       YAML <-> mapping, `--set key=value`
"""

from chain_core.config.resolve import find_problems, resolve_config
from chain_core.config.sections import (
    HEAD_KINDS,
    LINK_KINDS,
    MAX_DEPTH,
    BackboneConfig,
    ChainConfig,
    Config,
    DataConfig,
    HeadConfig,
    InputConfig,
    LinkConfig,
    TrainConfig,
)
from chain_core.config.text import MAX_YAML_BYTES, apply_overrides, dump_mapping, dump_yaml, load_yaml, merge

__all__ = [
    "HEAD_KINDS",
    "LINK_KINDS",
    "MAX_DEPTH",
    "MAX_YAML_BYTES",
    "BackboneConfig",
    "ChainConfig",
    "Config",
    "DataConfig",
    "HeadConfig",
    "InputConfig",
    "LinkConfig",
    "TrainConfig",
    "apply_overrides",
    "dump_mapping",
    "dump_yaml",
    "find_problems",
    "load_yaml",
    "merge",
    "resolve_config",
]
