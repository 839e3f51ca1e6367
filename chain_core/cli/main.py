"""The command line: everything the browser does, from a YAML file.

Progress goes to stderr, results to stdout. Exit status 0, or 2 with a one-line reason for what the user can mend.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from chain_core.cli.parts import Progress, get_status, read_config, say_end, slug
from chain_core.cli.sweep import add_sweep
from chain_core.cli.team import run_together
from chain_core.errors import ChainError, ConfigError, DataError, RunError, placed
from chain_core.modeling.team import Team, is_launched
from chain_core.storage.disk import explain_refusal, make_parent

if TYPE_CHECKING:
    from chain_core.config import Config


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    options = build_parser().parse_args(arguments)
    try:
        if is_launched() and options.action is not run_train:
            return run_together(_refuse)
        return options.action(options) or 0
    except (ChainError, KeyboardInterrupt) as error:
        say_end(error)
        return get_status(error)
    except BrokenPipeError:
        # The reader of stdout has gone; nothing is left to say, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m chain_core", description="Train and use chains.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train a chain as a YAML file says")
    train.add_argument("config", type=Path, metavar="CONFIG")
    train.add_argument("--out", type=Path, metavar="DIR", help="the run's folder (default: runs/NAME)")
    train.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    train.add_argument("--resume", action="store_true", help="go on with the run that DIR holds, if it left off")
    train.set_defaults(action=run_train)

    add_sweep(commands)

    evaluate = commands.add_parser("evaluate", help="score a trained chain on labelled rows")
    evaluate.add_argument("run", type=Path, metavar="RUN_DIR")
    evaluate.add_argument("data", type=Path, metavar="DATA")
    evaluate.add_argument("--out", type=Path, metavar="FILE", help="also write the predictions as Parquet")
    evaluate.set_defaults(action=run_evaluate)

    predict = commands.add_parser("predict", help="predict rows of a file, or lines of stdin")
    predict.add_argument("run", type=Path, metavar="RUN_DIR")
    predict.add_argument("file", nargs="?", default="-", metavar="FILE | -")
    predict.add_argument("--format", choices=("jsonl", "csv"), default="jsonl")
    predict.set_defaults(action=run_predict)

    cache = commands.add_parser("cache", help="list what is cached, clear it, set its limit")
    cache.add_argument("--clear", action="store_true", help="remove all that no run has open")
    cache.add_argument("--limit", type=float, metavar="GB", help="set the limit, in GB")
    cache.set_defaults(action=run_cache)
    return parser


def run_train(options: argparse.Namespace) -> int:
    return run_together(partial(_train, options))


def _refuse(team: Team) -> int:
    raise RunError("only_training_together")


def _train(options: argparse.Namespace, team: Team) -> int:
    from chain_core.config import resolve_config

    config = team.lead(lambda: resolve_config(read_config(options.config, options.overrides)))
    from chain_core.services.runs.checkpoint_names import find_step, prune_checkpoints
    from chain_core.services.runs.execute import execute_run
    from chain_core.services.runs.interrupts import PauseOnInterrupt
    from chain_core.training.control import Paused

    out = options.out or Path("runs") / slug(config.name)
    if team.lead(lambda: _check_folder(config, out, options)):
        return _tell_finished(out) if team.main else 0
    if not team.main:
        return _follow(options, config, out, team)
    progress, new = Progress(sys.stderr), not os.path.exists(out)
    try:
        with PauseOnInterrupt(lambda: progress.say("phases.pausing")) as control:
            report = execute_run(
                config, out, folder=options.config.resolve().parent, emit=progress,
                read_control=control.read, resume=options.resume, team=team,
            )  # fmt: skip
    except Paused:
        progress.close()
        progress.say("phases.paused", step=find_step(out) or 0, command=_list_again(options, out, team))
        return 130
    except ChainError:
        if new:
            with suppress(OSError):  # of a folder that a run has begun in
                out.rmdir()
        raise
    finally:
        progress.close()
    prune_checkpoints(out, 0)
    print(json.dumps(report, indent=1))
    return 0


def _follow(options: argparse.Namespace, config: Config, out: Path, team: Team) -> int:
    """Train along with the main process, which alone speaks, writes, and heeds the user."""
    from chain_core.services.runs.execute import execute_run
    from chain_core.training.control import Paused

    try:
        execute_run(
            config, out, folder=options.config.resolve().parent, emit=lambda event: None,
            resume=options.resume, team=team,
        )  # fmt: skip
    except Paused:
        return 130
    return 0


def _check_folder(config: Config, out: Path, options: argparse.Namespace) -> bool:
    """Whether the run that is to go on has finished. Raises RunError where a new run would do away with one that can
    go on, or another run has finished there."""
    from chain_core.services.runs.checkpoint_names import FOLDER, find_step
    from chain_core.services.runs.finished import is_finished, is_same_run

    with explain_refusal(out):
        step = find_step(out)
    if not options.resume:
        if step is not None:
            raise RunError("run_unfinished", folder=str(out), step=step, checkpoints=str(out / FOLDER))
        return False
    if not is_finished(out):
        return False
    if not is_same_run(config, out, options.config.resolve().parent):
        raise RunError("run_finished_other", folder=str(out))
    return True


def _tell_finished(out: Path) -> int:
    """Say so, and give the report as the run itself did."""
    from chain_core.services.store.records import REPORT

    Progress(sys.stderr).say("phases.finished", folder=out)
    print((out / REPORT).read_text(encoding="utf-8"))
    return 0


def _list_again(options: argparse.Namespace, out: Path, team: Team) -> str:
    """The command that goes on with a run."""
    overrides = [part for override in options.overrides for part in ("--set", override)]
    launcher = "python" if team.size == 1 else "accelerate launch …"
    command = ["-m", "chain_core", "train", str(options.config), "--out", str(out), *overrides, "--resume"]
    return f"{launcher} {shlex.join(command)}"


def run_evaluate(options: argparse.Namespace) -> None:
    from chain_core.reports.predictions import save_predictions
    from chain_core.services.runs.predictor import evaluate_file

    if options.out:
        make_parent(options.out)
    report, predictions = evaluate_file(options.run, options.data)
    if options.out:
        with explain_refusal(options.out):
            save_predictions(predictions, options.out)
    print(json.dumps(report, indent=1))


def run_predict(options: argparse.Namespace) -> None:
    from chain_core.services.runs.predictor import load_predictor

    predictor = load_predictor(options.run)
    rows = _read_lines(sys.stdin.buffer, predictor) if options.file == "-" else predictor.read_rows(Path(options.file))
    if options.format == "csv":
        from chain_core.reports.export import write_answers_csv

        write_answers_csv(predictor.predict(rows), sys.stdout)
        return
    for answer in predictor.predict(rows):
        print(json.dumps(answer, ensure_ascii=False))


def run_cache(options: argparse.Namespace) -> None:
    from chain_core.services.cache import clear_items, list_items, load_limit, set_limit

    if options.limit is not None:
        if not 0 <= options.limit < float("inf"):
            raise ConfigError("cache_limit", path="--limit", given=options.limit)
        set_limit(int(options.limit * 1e9))
    if options.clear:
        clear_items(list_items())
    items = list_items()
    entries = [
        {
            **{name: getattr(item, name) for name in ("kind", "backbone", "data", "rows", "layers", "bytes")},
            "in_use": item.held,
            "folder": str(item.folder),
        }
        for item in items
    ]
    total = {"bytes": sum(item.bytes for item in items), "limit": load_limit()}
    print(json.dumps({**total, "entries": entries}, indent=1))


def _read_lines(stream: BinaryIO, predictor: Any) -> list[dict[str, Any]]:
    """A row a line, in UTF-8: JSON objects or plain texts. Raises DataError naming the first line that is no row."""
    from chain_core.data.readers import mend_surrogates

    try:
        text = stream.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError("line_undecodable", line=error.object.count(b"\n", 0, error.start) + 1) from None
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        if not line.lstrip().startswith("{"):
            rows.append({"text": line.removesuffix("\r")})
            continue
        try:
            record = mend_surrogates(json.loads(line))
        except (ValueError, RecursionError):
            raise DataError("json_line_broken", line=number) from None
        with placed(f"line {number}"):
            rows.append(predictor.pick(record))
    if not rows:
        raise DataError("no_rows")
    return rows
