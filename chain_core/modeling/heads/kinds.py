"""Every kind of head, registered by importing its file, and the way to build one."""

from __future__ import annotations

from chain_core.config import HeadConfig
from chain_core.data.schema import Task
from chain_core.modeling.heads import language, pooled, relation, span, tagging
from chain_core.modeling.heads.head import HEADS, Head, Place

__all__ = ["HEADS", "build_head", "language", "pooled", "relation", "span", "tagging"]


def build_head(task: Task, config: HeadConfig, place: Place) -> Head:
    """The head of a task at a place."""
    return HEADS.get(config.kind)(task, config, place)
