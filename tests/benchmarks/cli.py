"""The benchmark's commands: see `__main__`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.benchmarks.contenders import EXPERIMENTS, build_jobs
from tests.benchmarks.jobs import Job, load_results, order_jobs, run_jobs, write_json
from tests.benchmarks.rows import DATA, DataAbsent, read_rows

QUICK_ROWS = (240, 80, 80)
QUICK_EPOCHS = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status: 0 done, 1 not done (the same call goes on), 130 interrupted."""
    options = build_parser().parse_args(arguments)
    try:
        return options.action(options)
    except KeyboardInterrupt:
        print("Interrupted: the same call goes on from here.", file=sys.stderr)
        return 130


def build_parser() -> argparse.ArgumentParser:
    from tests.benchmarks import __main__

    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description=__main__.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for experiment in EXPERIMENTS.values():
        command = commands.add_parser(experiment.name, help=experiment.title)
        _add_common(command)
        command.add_argument("--data", nargs="+", choices=sorted(DATA), help=f"default: {' '.join(experiment.data)}")
        command.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
        command.add_argument("--only", nargs="+", metavar="NAME", help="only these contenders")
        command.add_argument("--epochs", type=int, help="in place of every contender's own")
        command.add_argument("--quick", action="store_true", help="a few hundred rows, 2 epochs: does everything work?")
        command.add_argument("--minutes", type=float, help="begin no further run after so many")
        command.add_argument("--uncapped", action="store_true", help="let the textbook recipe run to its end")
        command.set_defaults(action=run_experiment, experiment=experiment.name)

    rate = commands.add_parser("rate", help="an epoch of preset fast beside its bare matrix products")
    _add_common(rate)
    rate.add_argument("--data", choices=sorted(DATA), default="atis")
    rate.add_argument("--rows", type=int, help="at most so many train rows")
    rate.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    rate.set_defaults(action=run_rate)

    gpu = commands.add_parser("gpu", help="tokens a second and share of the matrix-product peak, large backbone shape")
    gpu.add_argument("--out", type=Path, metavar="DIR")
    gpu.add_argument("--shape", choices=("tiny", "minilm", "base", "large"), default="base")
    gpu.add_argument("--batch", type=int, help="rows a batch")
    gpu.add_argument("--length", type=int, default=128, help="tokens of the longest row")
    gpu.add_argument("--steps", type=int, default=30)
    gpu.add_argument("--device", default="auto")
    gpu.set_defaults(action=run_gpu)

    warm = commands.add_parser("warm", help="seconds from a click to the first training step")
    warm.add_argument("--rows", type=int, default=300)
    warm.add_argument("--runs", type=int, default=8)
    warm.set_defaults(action=run_warm)

    reach = commands.add_parser("time-to-quality", help="seconds to what LoRA ends with, from the race's results")
    reach.add_argument("--out", type=Path, required=True, metavar="DIR")
    reach.set_defaults(action=run_reach)

    pages = commands.add_parser("pages", help="seconds that each page takes to run again, idle and while a run trains")
    pages.add_argument("--out", type=Path, metavar="DIR")
    pages.add_argument("--times", type=int, default=12, help="reruns of each page in each of the rounds")
    pages.set_defaults(action=run_pages)

    report = commands.add_parser("report", help="write the page anew from the results")
    report.add_argument("--out", type=Path, required=True, metavar="DIR")
    report.set_defaults(action=run_report)
    return parser


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--out", type=Path, required=True, metavar="DIR")
    command.add_argument("--backbone", default="minilm-l6")


def run_experiment(options: argparse.Namespace) -> int:
    """Measure what is not measured yet; write the page after every data set's seed and at the end."""
    from chain_core.modeling.backbones.catalogue import read_facts

    experiment = EXPERIMENTS[options.experiment]
    data = [name for name in options.data or experiment.data if _is_here(name)]
    if not data:
        return 1
    jobs = build_jobs(
        experiment,
        read_facts(options.backbone).num_layers,
        data=data,
        seeds=options.seeds,
        only=options.only,
        uncapped=options.uncapped,
        backbone=options.backbone,
        rows=QUICK_ROWS if options.quick else None,
        epochs=QUICK_EPOCHS if options.quick and not options.epochs else options.epochs,
    )
    if options.quick:
        jobs = [_cap(job) for job in jobs]
    out = options.out.resolve()
    try:
        done = run_jobs(order_jobs(jobs), out, minutes=options.minutes)
    finally:
        _write_page(out)
    return 0 if done else 1


def _cap(job: Job) -> Job:
    """A quick run measures the textbook recipe for seconds only."""
    from dataclasses import replace

    return replace(job, settings={**job.settings, "cap_seconds": 3.0}) if "cap_seconds" in job.settings else job


def _is_here(name: str) -> bool:
    try:
        read_rows(name, (1, 1, 1))
    except DataAbsent as error:
        print(f"left out: {error}", file=sys.stderr)
        return False
    return True


def run_rate(options: argparse.Namespace) -> int:
    from tests.benchmarks.rate import format_rate, measure_rate

    rate = measure_rate(options.data, options.backbone, options.out.resolve(), options.rows, options.overrides)
    print(format_rate(rate))
    write_json(options.out / "rate" / f"{options.data}-{rate['name']}.json", rate)
    _write_page(options.out.resolve())
    return 0


def run_gpu(options: argparse.Namespace) -> int:
    from tests.benchmarks.gpu import format_speeds, measure_speeds

    speeds = measure_speeds(options.shape, options.batch, options.length, options.steps, options.device)
    print(format_speeds(speeds))
    if options.out:
        write_json(options.out / "gpu" / f"{options.shape}-{speeds['device'].replace(' ', '-')}.json", speeds)
    return 0


def run_warm(options: argparse.Namespace) -> int:
    from tests.benchmarks.warm import GOAL, format_starts, measure_starts

    starts = measure_starts(options.rows, options.runs)
    print(format_starts(starts))
    return 0 if max(starts["warm"]) <= GOAL else 1


def run_pages(options: argparse.Namespace) -> int:
    from tests.benchmarks.reruns import format_pages, measure_pages

    measured = measure_pages(options.times)
    print(format_pages(measured))
    if options.out:
        write_json(options.out / "pages.json", measured)
    return 0


def run_reach(options: argparse.Namespace) -> int:
    from tests.benchmarks.reach import compute_reaches, format_reaches

    reaches = compute_reaches(load_results(options.out))
    print(format_reaches(reaches))
    write_json(
        options.out / "time-to-quality.json", [{**asdict(r), "ratio": r.ratio, "passed": r.passed} for r in reaches]
    )
    return 0 if reaches else 1


def run_report(options: argparse.Namespace) -> int:
    _write_page(options.out.resolve())
    return 0


def _write_page(out: Path) -> None:
    from tests.benchmarks.page import render_page

    extras = {
        part: [json.loads(path.read_text(encoding="utf-8")) for path in sorted((out / part).glob("*.json"))]
        for part in ("rate", "gpu")
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "index.html").write_text(render_page(load_results(out), **extras), encoding="utf-8")
    print(out / "index.html", file=sys.stderr)
