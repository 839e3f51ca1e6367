"""A table from names to builders; a duplicate or unknown name is an error that names its neighbours."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Generic, TypeVar

from chain_core.errors import ConfigError

T = TypeVar("T")


def nearest(name: str, known: list[str] | tuple[str, ...]) -> str:
    """The known name closest to a mistyped one, or "" where none is close."""
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    return close[0] if close else ""


class Registry(Generic[T]):
    """`@REGISTRY.register("name")` on a builder, `REGISTRY.get("name")` where it is needed."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._builders: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        def add(builder: T) -> T:
            if name in self._builders:
                raise ValueError(f"{self.what} {name!r} is registered twice")
            self._builders[name] = builder
            return builder

        return add

    def get(self, name: str) -> T:
        if name not in self._builders:
            known = ", ".join(self.names())
            raise ConfigError("unknown_name", what=self.what, name=name, known=known)
        return self._builders[name]

    def names(self) -> tuple[str, ...]:
        return tuple(self._builders)

    def __contains__(self, name: str) -> bool:
        return name in self._builders
