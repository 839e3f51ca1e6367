"""Roles that a person chose are applied, and held against each other."""

from __future__ import annotations

import pytest

from chain_core.data.roles import apply_roles, find_role_problems
from chain_core.data.schema import Column
from chain_core.messages import LANGUAGES


def build(*roles: str) -> tuple[Column, ...]:
    return tuple(Column(f"c{number}", role, "text") for number, role in enumerate(roles))


@pytest.mark.parametrize(
    ("roles", "codes"),
    [
        (("text", "label"), []),
        (("text", "pair", "score"), []),
        (("tokens", "tags", "labels", "split", "ignore"), []),
        (("label",), ["role_no_input"]),
        (("text",), ["role_no_head"]),
        (("text", "text", "label"), ["role_twice"]),
        (("text", "tokens", "label"), ["role_text_and_tokens"]),
        (("tokens", "pair", "label"), ["role_pair_alone"]),
        (("text", "tags"), ["role_tags_alone"]),
        ((), ["role_no_input", "role_no_head"]),
    ],
)
def test_problems(roles, codes):
    problems = find_role_problems(build(*roles))
    assert [problem.code for problem in problems] == codes
    for problem in problems:
        for language in LANGUAGES:
            assert "{" not in problem.text(language)
            assert not problem.text(language).startswith("errors.")


def test_only_known_roles_of_known_columns_are_applied():
    columns = build("text", "label")
    assert apply_roles(columns, {}) == columns
    assert apply_roles(columns, {"c0": "nonsense", "other": "text"}) == columns
    assert [column.role for column in apply_roles(columns, {"c1": "score"})] == ["text", "score"]
