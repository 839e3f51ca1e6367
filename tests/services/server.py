"""A server without screens, `python -m tests.services.server`: it works through the queue until its stdin closes, and
then ends as the workbench does."""

from __future__ import annotations

import sys

from chain_core.services.store.store import Store
from chain_core.services.workers.supervisor import Supervisor


def main() -> None:
    supervisor = Supervisor(Store())
    supervisor.start()
    print("ready", flush=True)
    sys.stdin.read()
    supervisor.close()


if __name__ == "__main__":
    main()
