"""The store on each kind of database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chain_core.services.store.store import Store


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    store = Store(database)
    yield store
    store.close()
