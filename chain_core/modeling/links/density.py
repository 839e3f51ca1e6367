"""One budget of parameters spread over the links: the densities that come closest to it from below. No torch."""

from __future__ import annotations

import math
from typing import Any

from chain_core.config import Config
from chain_core.errors import ConfigError
from chain_core.modeling.backbones.catalogue import BackboneFacts
from chain_core.modeling.backbones.shapes import BackboneShapes
from chain_core.modeling.links.counts import count_links

LEAST = 1e-6
"""Density of the smallest chain there is: every inner width at its least."""
_HALVINGS = 50


def fill_densities(config: Config, facts: BackboneFacts, shapes: BackboneShapes) -> Config:
    """The config with `chain.budget` turned into the list of `chain.densities` that spends it; as it is without one.

    One factor multiplies the whole course of densities, so their proportions stay. Raises ConfigError where even the
    smallest chain has more parameters.
    """
    chain = config.chain
    if chain.budget is None or not chain.depth:
        return config
    course = [config.get_share(position) for position in range(1, chain.depth + 1)]
    largest = 1 / max(course)

    def spread(factor: float) -> Config:
        return _put(config, tuple(min(max(share * factor, LEAST), 1.0) for share in course))

    def count(factor: float) -> int:
        return count_chain(spread(factor), facts, shapes)

    if count(largest) <= chain.budget:
        return spread(largest)
    least = count(LEAST)
    if least > chain.budget:
        raise ConfigError("budget_too_small", path="chain.budget", given=chain.budget, least=least)
    low, high = LEAST, largest
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if count(middle) <= chain.budget else (low, middle)
    return _shorten(spread(low), chain.budget, facts, shapes)


def count_chain(config: Config, facts: BackboneFacts, shapes: BackboneShapes) -> int:
    """Parameters of all links, projections of taps included, shared ones once."""
    return sum(link.parameters for link in count_links(config, facts, shapes))


def describe_spending(
    before: Config, after: Config, facts: BackboneFacts, shapes: BackboneShapes
) -> list[dict[str, Any]]:
    """A note on what `fill_densities` made of a budget; none where there was none."""
    budget = before.chain.budget
    if budget is None or not before.chain.depth:
        return []
    count = count_chain(after, facts, shapes)
    if count < budget and max(_list_densities(after)) == 1:
        return [{"code": "budget_large", "params": {"budget": budget, "parameters": count}}]
    links = (after.get_link(position).density for position in range(1, after.chain.depth + 1))
    densities = ", ".join(f"{density:.3g}" for density in links)
    return [{"code": "budget_spent", "params": {"budget": budget, "parameters": count, "densities": densities}}]


def _put(config: Config, densities: tuple[float, ...]) -> Config:
    return config.model_copy(update={"chain": config.chain.model_copy(update={"densities": densities, "budget": None})})


def _list_densities(config: Config) -> tuple[float, ...]:
    assert isinstance(config.chain.densities, tuple)
    return config.chain.densities


def _shorten(config: Config, budget: int, facts: BackboneFacts, shapes: BackboneShapes) -> Config:
    """The same chain with as few digits as it takes, from 3 on: the list is written into the run's config."""
    densities, spent = _list_densities(config), count_chain(config, facts, shapes)
    for digits in range(3, 9):
        short = _put(config, tuple(_floor(density, digits) for density in densities))
        if spent <= count_chain(short, facts, shapes) <= budget:
            return short
    return config


def _floor(value: float, digits: int) -> float:
    """A number cut to its first digits."""
    decimals = digits - 1 - math.floor(math.log10(value))
    return round(math.floor(value * 10**decimals) / 10**decimals, decimals)
