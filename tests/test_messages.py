"""Sentences: fields, numbers, plurals."""

from __future__ import annotations

import pytest

from chain_core import messages
from chain_core.messages import format_value, render


@pytest.fixture
def sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {"rows": "{count} {count|row|rows} of {name}", "odd": "{a|x|y} {missing}"}
    monkeypatch.setattr(messages, "load_catalogue", lambda language: table)


@pytest.mark.usefixtures("sentences")
def test_fields_and_plurals() -> None:
    assert render("rows", count=1, name="x") == "1 row of x"
    assert render("rows", count=12345, name="{count}") == "12,345 rows of {count}"
    assert render("odd", a=1) == "x {missing}"
    assert render("unknown.key") == "unknown.key"


@pytest.mark.parametrize(
    ("value", "text"), [(1234567, "1,234,567"), (0.123456, "0.1235"), (True, "True"), ("a", "a"), (1e-9, "1e-09")]
)
def test_numbers_read_as_a_person_writes_them(value: object, text: str) -> None:
    assert format_value(value) == text
