"""Faults on purpose: real servers and workers are killed at random while they work, then everything is compared.

    python -m tests.faults [--kills 200] [--seed 0] [--lanes 2]
    python -m tests.faults soak [--runs 500] [--clients 4]

The first kills workers, servers or both from outside, and workers from inside: in the middle of a checkpoint, of a
cache, or at any moment; and servers while they bring an old store up to date. Then every run must have ended as
finished, with each of its steps and epochs told once, no checkpoint that cannot be read, and numbers and weights
identical to those of the same run untouched. The second queues many small runs from several clients at once, and shows
the memory of the server and of its worker at the start, in the middle and at the end. Exit status: 0 all well, 1 not.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("OMP_NUM_THREADS", "1")  # here as in the workers that it starts: the numbers depend on it


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", nargs="?", choices=("kill", "soak"), default="kill")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lanes", type=int, default=2, help="servers with a workspace of their own, side by side")
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--keep", type=Path, help="work in this folder and leave it there")
    options = parser.parse_args()
    from tests.faults.campaign import run_campaign
    from tests.faults.soak import run_soak

    with TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        if options.command == "soak":
            return run_soak(folder, options.runs, options.clients)
        return run_campaign(folder, options.kills, options.seed, options.lanes)


if __name__ == "__main__":
    sys.exit(main())
