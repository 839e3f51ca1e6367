"""Everything a user can mend, as one tree.

    ChainError              code + params -> one clear sentence, in either language
    ├── ConfigError         the YAML or the draft: unknown key, value out of range, parts that do not fit
    ├── DataError           a file, a column, a label
    ├── BackboneError       a folder without weights, a hub that does not answer, an unsupported model
    ├── RunError            a run, bundle or store that is missing or unusable
    └── ResourceError       disk full, memory exhausted

An error's sentence stands in the catalogues under `errors.<code>`; anything else that is raised is a bug.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from chain_core.messages import render


class ChainError(Exception):
    """Something the user can mend. `code` names the sentence, `params` fill it."""

    def __init__(self, code: str, /, **params: object) -> None:
        super().__init__(code)
        self.code = code
        self.params = params

    def text(self, language: str = "en") -> str:
        """What happened, why, and what to do next."""
        return explain(self.code, self.params, language)

    def at(self, place: str) -> Self:
        """The same error as one of the key `place`, which its sentence then names."""
        return type(self)(self.code, **{**self.params, "place": place})

    def __str__(self) -> str:
        return self.text("en")


def explain(code: str, params: Mapping[str, Any], language: str = "en") -> str:
    """An error's sentence, behind the key that it belongs to where the sentence itself knows of none."""
    sentence = render(f"errors.{code}", language, **params)
    if "place" not in params:
        return sentence
    return render("errors.in_place", language, place=params["place"], sentence=sentence)


class ConfigError(ChainError):
    """A config that cannot become a run. `path` is the key's place, such as `chain.links[2].density`."""

    def __init__(self, code: str, /, path: str = "", **params: object) -> None:
        super().__init__(code, path=path, **params)
        self.path = path

    def at(self, place: str) -> Self:
        others = {name: value for name, value in self.params.items() if name != "path"}
        return type(self)(self.code, place, **others)


class DataError(ChainError):
    """A table that cannot be read or used as asked."""


class BackboneError(ChainError):
    """A backbone that cannot be loaded or driven."""


class RunError(ChainError):
    """A run, bundle or store that is missing or unusable."""


class ResourceError(ChainError):
    """The machine ran out of something."""


def explain_failure(error: Exception) -> ChainError:
    """What kept rows from being read, as a sentence."""
    if isinstance(error, ChainError):
        return error
    reason = getattr(error, "strerror", None) or str(error)
    return DataError("file_unreadable", name=getattr(error, "filename", None) or "?", reason=reason)


@contextmanager
def placed(place: str) -> Iterator[None]:
    """What is wrong with rows, as an error of the key that names them."""
    try:
        yield
    except DataError as error:
        raise error.at(place) from None
