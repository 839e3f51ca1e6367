"""What the processes of a team must have in common before they train, and what is told of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

from chain_core.data.cells import build_note
from chain_core.errors import RunError
from chain_core.modeling.backbones.catalogue import read_facts
from chain_core.modeling.team import Team
from chain_core.paths import get_home
from chain_core.training.assemble import Material
from chain_core.training.checkpoint import Checkpoint, count_processes


def hand_out(team: Team, prepare: Callable[[], Material]) -> Material:
    """The run's rows, read by the main process alone; each process finds the backbone for itself.

    Raises RunError where they do not share a workspace.
    """
    if team.size == 1:
        return prepare()
    check_home(team)
    material = team.lead(prepare)
    return replace(material, facts=team.together(lambda: read_facts(material.config.backbone.name)))


def check_home(team: Team) -> None:
    """Raises RunError unless what one process leaves in the workspace is seen by all."""
    mark = team.lead(lambda: f".team-{uuid4().hex[:12]}")
    path = get_home() / mark
    team.lead(path.touch)
    seen = team.gather(path.exists())
    if team.main:
        path.unlink(missing_ok=True)
    if not all(seen):
        raise RunError("home_not_shared", folder=str(get_home()), processes=len(seen) - sum(seen))


def agree_on_key(team: Team, key: str) -> str:
    """What the processes are about to train, if it is the same. Raises RunError where it is not."""
    if len(set(team.gather(key))) > 1:
        raise RunError("team_differs")
    return key


def describe_team(team: Team, checkpoint: Checkpoint | None) -> list[dict[str, Any]]:
    """Notes: how many train together, and whether it was another number before a checkpoint."""
    notes = [build_note("team_trains", processes=team.size)] if team.size > 1 else []
    before = count_processes(checkpoint) if checkpoint is not None else team.size
    if before != team.size:
        notes.append(build_note("team_changed", before=before, now=team.size))
    return notes
