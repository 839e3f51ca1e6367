"""Kills in several workspaces side by side, and what they came to."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from pathlib import Path

from chain_core.services.runs.execute import execute_run
from tests.faults.lane import Lane
from tests.faults.material import KINDS, build_config, prepare_material


def run_untouched(folder: Path, material: Path) -> dict[str, Path]:
    """Each kind of run, never disturbed -> its folder."""
    home = os.environ.get("CHAIN_HOME")
    os.environ["CHAIN_HOME"] = str(folder / "home")
    try:
        for kind in KINDS:
            execute_run(build_config(kind, material), folder / kind, folder=material, emit=lambda event: None)
    finally:
        os.environ.pop("CHAIN_HOME")
        if home is not None:
            os.environ["CHAIN_HOME"] = home
    return {kind: folder / kind for kind in KINDS}


def run_campaign(folder: Path, kills: int, seed: int, lanes: int) -> int:
    """Prints a summary; 0 where nothing was lost."""
    started = time.monotonic()
    material = prepare_material(folder / "material")
    untouched = run_untouched(folder / "untouched", material)
    lanes = max(1, min(lanes, kills // 10))
    crew = [Lane(folder / f"lane-{number}", material, untouched, seed * 1000 + number) for number in range(lanes)]
    share = [kills // lanes + (number < kills % lanes) for number in range(lanes)]
    threads = [threading.Thread(target=_play, args=(lane, part)) for lane, part in zip(crew, share, strict=True)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(1)
    struck: Counter[str] = sum((lane.kills for lane in crew), Counter())
    problems = [problem for lane in crew for problem in lane.problems]
    kinds = ", ".join(f"{name} {count}" for name, count in sorted(struck.items()))
    runs, attempts = sum(lane.runs for lane in crew), sum(lane.attempts for lane in crew)
    print(f"{struck.total()} kills in {time.monotonic() - started:.0f} s ({kinds})")
    print(f"{runs} runs, {attempts} attempts; {len(problems)} problems")
    for problem in problems:
        print("  " + problem)
    return 1 if problems or struck.total() < kills else 0


def _play(lane: Lane, kills: int) -> None:
    try:
        lane.play(kills)
    except Exception as error:
        lane.problems.append(f"the lane itself failed: {type(error).__name__}: {error}")
        raise
