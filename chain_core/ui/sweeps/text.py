"""A sweep in words: its keys, its settings, its states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chain_core.messages import load_catalogue
from chain_core.services.sweeps.sweep import format_value
from chain_core.services.sweeps.trials import SweepState
from chain_core.ui.language import get_language, t
from chain_core.ui.runs.text import format_state
from chain_core.ui.sweeps.keys import Key

COLOURS = {
    "running": "blue", "pausing": "orange", "paused": "gray", "resuming": "blue", "stopping": "orange",
    "stopped": "gray", "cancelling": "orange", "cancelled": "gray", "finished": "green",
}  # fmt: skip


def name_key(key: Key) -> str:
    """`Depth`; `intent · Weight` of a head."""
    label = t(key.label) if key.label in load_catalogue(get_language()) else key.path.rpartition(".")[2]
    return f"{key.head} · {label}" if key.head else label


def name_axes(paths: Sequence[str], keys: Mapping[str, Key]) -> dict[str, str]:
    """Path -> a name that no other of them has."""
    names = {path: name_key(keys[path]) if path in keys else path for path in paths}
    taken = list(names.values())
    return {path: f"{name} ({path})" if taken.count(name) > 1 else name for path, name in names.items()}


def name_value(value: Any, key: Key | None) -> str:
    """A setting's value as the Chain page says it."""
    if isinstance(value, bool):
        return t("sweeps.on") if value else t("sweeps.off")
    if value is None:
        return t("chain.not_set")
    word = f"{key.words}_{value}" if key is not None and key.limits.kind == "choice" else ""
    return t(word) if word in load_catalogue(get_language()) else format_value(value)


def describe_settings(params: Mapping[str, Any], keys: Mapping[str, Key]) -> str:
    """`Depth 2, Seed 0`."""
    names = name_axes(list(params), keys)
    return ", ".join(f"{names[path]} {name_value(value, keys.get(path))}" for path, value in params.items())


def describe_trial(state: SweepState, number: int) -> str:
    """The state of one trial, for a table's cell."""
    if number in state.problems:
        return f"✖ {t('sweeps.not_trained')}"
    run = state.runs.get(number)
    if run is None:
        return f"× {t('sweeps.deleted')}"
    return f"✂ {t('sweeps.pruned')}" if state.trials[number].state == "pruned" else format_state(run)
