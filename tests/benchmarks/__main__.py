"""The benchmark: chains and their peers on the same machine, rows, splits and seeds.

    python -m tests.benchmarks COMMAND --out DIR [--data atis …] [--seeds 0 1 2] [--only NAME …] [--minutes N] [--quick]

race             chains, LoRA (joint, and a run a task), full fine-tuning, the textbook recipe, logistic regression
depths           depths 0 to 6, frozen and with the top 2 layers tuned
heads            one to six heads on one text
ablate           each part of a chain changed by itself, with a verdict
tune             the peers' settings, compared on validation
rate             an epoch of preset fast: its matrix products counted, timed bare, and its real time
gpu              tokens a second and share of the measured matrix-product peak with a larger backbone shape
warm             seconds from a click to the first training step: a server and a worker that is warm or not
time-to-quality  seconds to the slot F1 that LoRA ends with, from the race's results
pages            how long each page takes to run again in a real browser, idle and while a run trains
report           DIR/index.html anew from the results

Each run of a contender with a seed has a process of its own and leaves one file in DIR/results. The same call skips
what is there: an interrupted one goes on. DIR/index.html shows everything that has been measured so far. Seconds count
from the start of the process, imports, loading, features and validation included. A contender's best weights, like its
settings, are chosen by validation rows; test rows are scored once, with these.
"""

from __future__ import annotations

import sys

from tests.benchmarks.cli import main

if __name__ == "__main__":
    sys.exit(main())
