"""The server that is killed. CHAIN_FAULT_STATEMENT=N: before its Nth statement that changes the store, which is brought
up to date as it is opened."""

from __future__ import annotations

import os

from sqlalchemy import Engine

from tests.services import server
from tests.services.dying import CHANGES, die_before


def main() -> None:
    die_before(Engine, int(os.environ.get("CHAIN_FAULT_STATEMENT", "0")), CHANGES)
    server.main()


if __name__ == "__main__":
    main()
