"""The server that is killed. CHAIN_FAULT_STATEMENT=N: before its Nth statement that changes the store, which is brought
up to date as it is opened."""

from __future__ import annotations

import os
import signal

from sqlalchemy import Engine, event

from tests.services import server

CHANGES = ("CREATE", "ALTER", "INSERT", "UPDATE", "DELETE", "DROP")


def main() -> None:
    left = int(os.environ.get("CHAIN_FAULT_STATEMENT", "0"))

    @event.listens_for(Engine, "before_cursor_execute")
    def count(connection, cursor, statement, *_) -> None:
        nonlocal left
        left -= left > 0 and statement.split()[0] in CHANGES
        if left == 0 and "CHAIN_FAULT_STATEMENT" in os.environ:
            os.kill(os.getpid(), signal.SIGKILL)

    server.main()


if __name__ == "__main__":
    main()
