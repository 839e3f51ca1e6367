"""`python -m chain_core sweep`: one config at many settings, one after the other, and a table of what they brought."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chain_core.cli.parts import Progress, read_config, slug
from chain_core.errors import BackboneError, ConfigError
from chain_core.messages import render
from chain_core.storage.disk import make_folder

if TYPE_CHECKING:
    from chain_core.modeling.backbones.catalogue import BackboneFacts
    from chain_core.services.sweeps.checks import SweepCheck
    from chain_core.services.sweeps.local import LocalSweep


def add_sweep(commands: Any) -> None:
    """The command and its options."""
    sweep = commands.add_parser("sweep", help="train a config at many settings and compare them")
    sweep.add_argument("config", type=Path, metavar="CONFIG")
    sweep.add_argument("--axis", dest="axes", action="append", default=[], metavar="KEY=VALUES", required=True,
                       help="chain.depth=0,1,2 or chain.depth=0..6 or train.learning_rate=1e-4..1e-2:log")  # fmt: skip
    sweep.add_argument("--search", type=int, metavar="RUNS", help="so many runs, chosen by what earlier ones scored")
    sweep.add_argument("--seed", type=int, default=0, help="of the search (default: 0)")
    sweep.add_argument("--pruner", choices=("median", "halving", "none"), default="median",
                       help="which runs of a search end early (default: median)")  # fmt: skip
    sweep.add_argument("--skip", action="store_true", help="leave out combinations that cannot be trained")
    sweep.add_argument("--out", type=Path, metavar="DIR", help="the sweep's folder (default: sweeps/NAME)")
    sweep.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    sweep.set_defaults(action=run_sweep)


def run_sweep(options: argparse.Namespace) -> int:
    """Exit status: 0, 130 where Ctrl-C interrupted it, 2 where some run failed."""
    check = _check(options)
    progress = Progress(sys.stderr)
    if _tell_findings(check, progress, skip=options.skip):
        return 2
    from chain_core.services.runs.execute import execute_run
    from chain_core.services.runs.interrupts import PauseOnInterrupt
    from chain_core.services.sweeps.local import LocalSweep
    from chain_core.training.control import Paused

    out = options.out or Path("sweeps") / slug(check.sweep.name)
    make_folder(out)
    local = LocalSweep(check, out)
    progress.say("phases.sweep", count=local.total)
    try:
        with PauseOnInterrupt(lambda: progress.say("phases.pausing")) as control:
            for number, name in local.run(execute_run, progress, control.read):
                progress.close()
                progress.say("phases.sweep_run", number=number + 1, total=local.total, name=name)
    except Paused:
        progress.close()
        print(write_table(local))
        progress.say("phases.sweep_paused", command=shlex.join(["python", "-m", "chain_core", *sys.argv[1:]]))
        return 130
    finally:
        progress.close()
    print(write_table(local))
    for number, error in local.errors.items():
        print(f"{number + 1}: {' '.join(str(error).split())}", file=sys.stderr)
    return 2 if local.errors else 0


def _check(options: argparse.Namespace) -> SweepCheck:
    from chain_core.services.sweeps.axes import parse_axis
    from chain_core.services.sweeps.checks import check_sweep
    from chain_core.services.sweeps.sweep import Sweep

    mapping, folder = read_config(options.config, options.overrides), str(options.config.resolve().parent)
    if options.search is not None and options.search < 1:
        raise ConfigError("sweep_size", count=options.search, limit=500)
    sweep = Sweep(
        str(mapping.get("name") or "chain"), "grid" if options.search is None else "search", mapping, folder,
        tuple(parse_axis(axis) for axis in options.axes), options.search or 0, options.seed, options.pruner,
    )  # fmt: skip
    return check_sweep(sweep, _ask)


def _ask(name: str) -> BackboneFacts | BackboneError:
    """A backbone's facts, however long a hub takes."""
    from chain_core.modeling.backbones.catalogue import read_facts

    try:
        return read_facts(name)
    except BackboneError as error:
        return error


def _tell_findings(check: SweepCheck, progress: Any, *, skip: bool) -> bool:
    """Everything that is wrong or comes to nothing, at once; whether that is the end."""
    from chain_core.services.sweeps.sweep import describe_params

    told = [(str(finding.error), finding.settings) for finding in check.findings]
    told += [(render(f"notes.{it.note['code']}", **it.note["params"]), it.settings) for it in check.remarks]
    for sentence, settings in told:
        where = "; ".join(describe_params(setting) for setting in settings[:3] if setting)
        more = len(settings) - 3
        where += f"; and {more} more" if more > 0 else ""
        print(" ".join(sentence.split()) + (f" ({where})" if where else ""), file=sys.stderr)
    if not check.findings:
        return False
    if not (skip and check.combinations):
        return True
    progress.say("phases.sweep_skips", count=check.count - len(check.combinations))
    return False


def write_table(local: LocalSweep) -> str:
    """A line a run: its settings, its figures, how it ended; the best with a star."""
    from chain_core.services.sweeps.axes import shorten_paths
    from chain_core.services.sweeps.results import compute_settings, find_best_setting
    from chain_core.services.sweeps.sweep import format_value

    rows = local.rows
    best = find_best_setting(compute_settings(rows))
    names = shorten_paths([axis.path for axis in local.sweep.axes])
    heads = list(dict.fromkeys((head, metric, row.split) for row in rows for head, (metric, _) in row.heads.items()))
    titles = ["", "run", *names.values(), "score", *(f"{head} {metric} ({split})" for head, metric, split in heads)]
    lines = [[*titles, "seconds", "trainable", "state"]]
    for row in rows:
        figures = [_write(row.heads.get(head, ("", None))[1]) for head, _, _ in heads]
        seconds = "" if row.seconds is None else f"{row.seconds:.1f}"
        lines.append([
            "*" if best and row.number in best.numbers else "", f"{row.number + 1}",
            *(format_value(row.params[path]) for path in names), _write(row.score), *figures,
            seconds, "" if row.trainable is None else f"{row.trainable:,}", row.state,
        ])  # fmt: skip
    return _align(lines)


def _write(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _align(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
