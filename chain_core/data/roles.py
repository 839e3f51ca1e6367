"""Roles that a person gives to columns: applied, and held against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from chain_core.data.task import KINDS, ROLES, Column
from chain_core.errors import DataError

_ONCE = ("text", "pair", "tokens", "split")


def apply_roles(columns: Sequence[Column], roles: Mapping[str, str]) -> tuple[Column, ...]:
    """The columns with the roles given by name; unknown names and roles change nothing."""
    return tuple(
        replace(column, role=role, note="")
        if (role := roles.get(column.name)) in ROLES and role != column.role
        else column
        for column in columns
    )


def find_role_problems(columns: Sequence[Column]) -> list[DataError]:
    """What keeps these roles from becoming a draft, the most basic first."""
    by_role: dict[str, list[str]] = {role: [] for role in ROLES}
    for column in columns:
        by_role[column.role].append(column.name)
    problems = [DataError("role_twice", columns=", ".join(by_role[role])) for role in _ONCE if len(by_role[role]) > 1]
    if not by_role["text"] and not by_role["tokens"]:
        problems.append(DataError("role_no_input"))
    if by_role["text"] and by_role["tokens"]:
        problems.append(DataError("role_text_and_tokens", text=by_role["text"][0], tokens=by_role["tokens"][0]))
    if by_role["pair"] and not by_role["text"]:
        problems.append(DataError("role_pair_alone", column=by_role["pair"][0]))
    if by_role["tags"] and not by_role["tokens"]:
        problems.append(DataError("role_tags_alone", column=by_role["tags"][0]))
    if not any(by_role[role] for role in KINDS):
        problems.append(DataError("role_no_head"))
    return problems
