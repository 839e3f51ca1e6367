"""What importing a large table takes: `python -m tests.benchmarks.import_rows [--rows 1000000] [--out FILE]`.

Writes JSON: for each format the file's size, the seconds to import it, and how far the process's memory rose above
where it stood before (each format in a process of its own, so that one's peak does not hide another's).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WORDS = ("turn", "on", "the", "light", "in", "kitchen", "please", "what", "is", "weather", "play", "some", "music")
FORMATS = ("csv", "jsonl", "json", "parquet")
MEGABYTE = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure_import(arguments.measure)))
        return
    results: dict[str, Any] = {"rows": arguments.rows}
    with tempfile.TemporaryDirectory() as folder:
        for kind in FORMATS:
            path = Path(folder) / f"rows.{kind}"
            write_rows(path, arguments.rows)
            results[kind] = run_measure(path, Path(folder) / "home")
            path.unlink()
    text = json.dumps(results, indent=1)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")


def run_measure(path: Path, home: Path) -> dict[str, float]:
    """The import of one file in a fresh process."""
    command = [sys.executable, "-m", "tests.benchmarks.import_rows", "--measure", str(path)]
    done = subprocess.run(
        command, env={**os.environ, "CHAIN_HOME": str(home)}, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def measure_import(path: Path) -> dict[str, float]:
    """Seconds and memory of an import, of the roles' inference and of a split of all its rows."""
    from chain_core.config import DataConfig, HeadConfig
    from chain_core.data.schema import build_tasks, infer_columns, suggest_config
    from chain_core.data.splits import split_rows
    from chain_core.data.store import import_files, read_table

    before = read_peak()
    start = time.perf_counter()
    data_set = import_files({"train": path}, name="rows")
    imported, after = time.perf_counter(), read_peak()
    table = read_table(data_set)
    suggested = suggest_config(infer_columns(table))
    inferred = time.perf_counter()
    tasks = build_tasks(table, {name: HeadConfig(**head) for name, head in suggested["heads"].items()})
    split_rows(table, DataConfig(train=data_set.id, test=0.2), tasks)
    return {
        "file_mb": round(path.stat().st_size / MEGABYTE, 1),
        "rows": data_set.rows,
        "import_seconds": round(imported - start, 2),
        "import_peak_mb_above_start": round(after - before, 1),
        "infer_seconds": round(inferred - imported, 2),
        "tasks_and_split_seconds": round(time.perf_counter() - inferred, 2),
    }


def read_peak() -> float:
    """The most memory this process ever held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else MEGABYTE)


def write_rows(path: Path, count: int) -> None:
    """A table of short texts and two labels, in the format of the path's suffix."""
    import csv

    import pyarrow as pa
    import pyarrow.parquet as pq

    generator = random.Random(0)
    rows = (
        (" ".join(generator.choices(WORDS, k=generator.randint(4, 14))), f"intent {generator.randrange(40)}",
         f"{generator.random():.3f}")
        for _ in range(count)
    )  # fmt: skip
    names = ("text", "intent", "score")
    if path.suffix == ".parquet":
        columns = dict(zip(names, zip(*rows, strict=True), strict=True))
        pq.write_table(pa.table({name: list(column) for name, column in columns.items()}), path)
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            writer = csv.writer(file)
            writer.writerow(names)
            writer.writerows(rows)
            return
        separator = "\n" if path.suffix == ".jsonl" else ",\n"
        file.write("[" if path.suffix == ".json" else "")
        for number, row in enumerate(rows):
            file.write((separator if number else "") + json.dumps(dict(zip(names, row, strict=True))))
        file.write("]" if path.suffix == ".json" else "\n")


if __name__ == "__main__":
    main()
