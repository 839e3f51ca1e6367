"""The Chain page's view of the draft: complete, held against its data, backbone and machine."""

from __future__ import annotations

from dataclasses import replace

from chain_core.errors import BackboneError, ChainError
from chain_core.modeling.backbones.catalogue import BackboneFacts
from chain_core.paths import get_home
from chain_core.services.backbones import ask_backbone
from chain_core.services.drafts.checks import Inspection, Problem, complete_draft, inspect_draft
from chain_core.services.machine import load_machine
from chain_core.ui.backend import get_store
from chain_core.ui.chain.fields import read
from chain_core.ui.draft import get_draft, set_draft
from chain_core.ui.shell import show_empty

Answer = BackboneFacts | BackboneError | None


def require_draft() -> None:
    """A draft with data, its input and heads inferred where it lacks them; without one the page ends here."""
    draft = get_draft()
    if not draft:
        show_empty("chain", "data")
    else:
        set_draft(complete_draft(draft, get_home()))


def ask_for_backbone() -> Answer:
    """The chosen backbone's facts, why it cannot be had, or None while a hub is asked."""
    name = read(("backbone", "name"))
    return ask_backbone(name) if isinstance(name, str) and name else None


def inspect(answer: Answer) -> Inspection:
    """Everything that is known of the draft on this machine."""
    facts = answer if isinstance(answer, BackboneFacts) else None
    inspection = inspect_draft(get_draft() or {}, get_home(), facts, _read_rate())
    if isinstance(answer, BackboneError):
        problem = Problem("backbone.name", answer)
        return replace(inspection, problems=(problem, *inspection.problems))
    return inspection


def _read_rate() -> float | None:
    """1e9 operations a second in the run's precision, once the worker has measured it."""
    try:
        machine = load_machine(get_store())
    except ChainError:
        return None
    precision = read(("train", "precision"))
    chosen = machine.precision if precision == "auto" else precision
    return machine.gflops.get(chosen or "")
