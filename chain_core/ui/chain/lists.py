"""Changes to a draft's lists: its stages, its further data sets, the run it starts from. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chain_core.config import SELF_SUPERVISED, find_problems
from chain_core.ui.chain.edit import Draft, add_head, complete, find_free_name, get_value, remove_head, set_value


def list_stages(draft: Draft) -> list[Any]:
    """The draft's stages as they stand; none where it gives none."""
    stages = draft.get("stages")
    return list(stages) if isinstance(stages, list) else []


def add_stage(draft: Draft, objective: str) -> dict[str, Any]:
    """One more stage.

    The first of all is what the run would have been without it; where that one learns from bare texts, it comes before
    the tasks, as do later ones of its kind. From then on the stages say how many epochs there are.
    """
    stages = list_stages(draft)
    if not stages:
        epochs = _read_epochs(draft)
        stages = [{"objective": "tasks", "epochs": epochs}] if isinstance(epochs, int) else [{"objective": "tasks"}]
        train = draft.get("train")
        if isinstance(train, Mapping):
            draft = {**draft, "train": {key: value for key, value in train.items() if key != "epochs"}}
        if objective == "tasks":
            return {**draft, "stages": stages}
    added: dict[str, Any] = {"objective": objective, "epochs": 1}
    if objective not in SELF_SUPERVISED:
        return {**draft, "stages": [*stages, added]}
    first = next((index for index, stage in enumerate(stages) if not _learns_itself(stage)), len(stages))
    depth = get_value(stages, (first, "depth")) if first < len(stages) else None
    added |= {"depth": depth} if isinstance(depth, int) else {}  # a chain never shrinks
    return {**draft, "stages": [*stages[:first], added, *stages[first:]]}


def add_head_and_stage(draft: Draft, kind: str, column: str, data: str | None) -> dict[str, Any]:
    """One more head, and the stage that it learns in where it is a self-supervised one that no stage trains."""
    changed = add_head(draft, kind, column, data)
    name = list(changed["heads"])[-1]
    missing = any((p.code, p.path) == ("head_without_stage", f"heads.{name}") for p in find_problems(changed))
    return add_stage(changed, kind) if missing else changed


def remove_stage(draft: Draft, index: int) -> dict[str, Any]:
    """Without one stage; without any, the run is one stage again, with the epochs of the last one."""
    stages = list_stages(draft)
    left = stages[:index] + stages[index + 1 :]
    if left:
        return {**draft, "stages": left}
    changed = {key: value for key, value in draft.items() if key != "stages"}
    epochs = get_value(stages, (index, "epochs"))
    if not isinstance(epochs, int) or _learns_itself(stages[index]) or epochs == _read_epochs(changed):
        return changed
    return set_value(changed, ("train", "epochs"), epochs)


def _read_epochs(draft: Draft) -> Any:
    return get_value(complete(draft), ("train", "epochs"))


def move_stage(draft: Draft, index: int, by: int) -> dict[str, Any]:
    """A stage that changes places with the one before (-1) or after (1)."""
    stages, other = list_stages(draft), index + by
    if 0 <= other < len(stages) and 0 <= index < len(stages):
        stages[index], stages[other] = stages[other], stages[index]
    return {**draft, "stages": stages}


def _learns_itself(stage: Any) -> bool:
    return isinstance(stage, Mapping) and stage.get("objective") in SELF_SUPERVISED


def add_set(draft: Draft, name: str, completed: Mapping[str, Any]) -> dict[str, Any]:
    """A further data set, with the input and the heads that its columns suggest (`complete_draft`)."""
    also = draft.get("also")
    also = dict(also) if isinstance(also, Mapping) else {}
    free = find_free_name(name, also)
    entry = {key: completed[key] for key in ("data", "input") if key in completed}
    heads = dict(draft["heads"]) if isinstance(draft.get("heads"), Mapping) else {}
    suggested = completed.get("heads")
    for column, head in suggested.items() if isinstance(suggested, Mapping) else ():
        heads[find_free_name(str(column), heads)] = {**head, "data": free}
    return {**draft, "also": {**also, free: entry}, "heads": heads}


def remove_set(draft: Draft, name: str) -> dict[str, Any]:
    """Without a further data set and the heads that learn from it."""
    changed = {**draft, "also": {key: value for key, value in (draft.get("also") or {}).items() if key != name}}
    heads = draft.get("heads")
    for head, settings in heads.items() if isinstance(heads, Mapping) else ():
        if get_value(settings, ("data",)) == name:
            changed = remove_head(changed, head)
    return changed


def rename_set(draft: Draft, old: str, new: str) -> dict[str, Any]:
    """A further data set under another name, its heads' `data` with it; nothing changes where the name is taken."""
    also = draft.get("also") or {}
    if not new or new in also:
        return dict(draft)
    changed = {**draft, "also": {new if key == old else key: value for key, value in also.items()}}
    for name, head in (draft.get("heads") or {}).items():
        if get_value(head, ("data",)) == old:
            changed = set_value(changed, ("heads", name, "data"), new)
    return changed


def set_start(draft: Draft, run: str | None) -> dict[str, Any]:
    """A draft that starts from a run's chain, or afresh."""
    if run:
        return set_value(draft, ("start", "run"), run)
    return {key: value for key, value in draft.items() if key != "start"}
