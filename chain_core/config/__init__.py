"""What a run is asked to do: frozen values, read from YAML and written back complete.

fields     the types of single values
sections   every key: type, range, default, unit
root       the whole config, and what follows from its keys
metrics    what heads are measured by
checks     what the keys must have in common
depth      a mapping at another depth
resolve    a user's mapping -> Config, or what is wrong with it
explain    what is wrong, in words, with the key's path (`chain.links[2].density`)
text       YAML <-> mapping, `--set key=value`
"""

from chain_core.config.depth import fit_depth
from chain_core.config.fields import MAX_DEPTH
from chain_core.config.metrics import METRICS, list_metrics
from chain_core.config.resolve import find_problems, get_preset, resolve_config, restore_config
from chain_core.config.root import Config
from chain_core.config.sections import (
    BATCH_SIZES,
    HEAD_KINDS,
    LEAST_BATCHES,
    LINK_KINDS,
    LORA_TUNINGS,
    POSITION_KINDS,
    SELF_SUPERVISED,
    TUNINGS,
    AugmentConfig,
    BackboneConfig,
    ChainConfig,
    DataConfig,
    HeadConfig,
    InputConfig,
    LinkConfig,
    SetConfig,
    StageConfig,
    StartConfig,
    TrainConfig,
)
from chain_core.config.text import (
    MAX_YAML_BYTES,
    apply_overrides,
    dump_mapping,
    dump_yaml,
    load_yaml,
    merge,
    read_value,
)

__all__ = [
    "BATCH_SIZES",
    "HEAD_KINDS",
    "LEAST_BATCHES",
    "LINK_KINDS",
    "LORA_TUNINGS",
    "MAX_DEPTH",
    "MAX_YAML_BYTES",
    "METRICS",
    "POSITION_KINDS",
    "SELF_SUPERVISED",
    "TUNINGS",
    "AugmentConfig",
    "BackboneConfig",
    "ChainConfig",
    "Config",
    "DataConfig",
    "HeadConfig",
    "InputConfig",
    "LinkConfig",
    "SetConfig",
    "StageConfig",
    "StartConfig",
    "TrainConfig",
    "apply_overrides",
    "dump_mapping",
    "dump_yaml",
    "find_problems",
    "fit_depth",
    "get_preset",
    "list_metrics",
    "load_yaml",
    "merge",
    "read_value",
    "resolve_config",
    "restore_config",
]
