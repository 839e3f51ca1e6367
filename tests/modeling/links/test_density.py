"""A budget of parameters: spent as closely as can be, in the course's proportions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain_core.config import LINK_KINDS, dump_yaml, load_yaml, resolve_config
from chain_core.errors import ConfigError
from chain_core.modeling.backbones.catalogue import read_facts
from chain_core.modeling.backbones.shapes import read_shapes
from chain_core.modeling.links.density import LEAST, count_chain, describe_spending, fill_densities


def build(kind="bottleneck", budget=None, **chain):
    return resolve_config(
        {
            "data": {"train": "t"},
            "chain": {"depth": 3, "width": 64, "links": {"kind": kind}, "budget": budget, **chain},
            "heads": {"h": {"kind": "regression", "column": "c"}},
        }
    )


@pytest.fixture(scope="module")
def backbone_facts(backbone):
    facts = read_facts(str(backbone))
    return facts, read_shapes(facts.folder, facts.num_layers)


def spread(config, densities):
    return config.model_copy(update={"chain": config.chain.model_copy(update={"densities": tuple(densities)})})


@settings(max_examples=60)
@given(
    kind=st.sampled_from(LINK_KINDS),
    course=st.sampled_from(["constant", "growing", "shrinking", [0.2, 0.9, 0.5]]),
    share=st.floats(0.0, 1.0),
)
def test_a_budget_is_met_from_below_and_its_course_kept(backbone_facts, kind, course, share):
    facts, shapes = backbone_facts
    full = count_chain(fill_densities(build(kind, 10**9, densities=course), facts, shapes), facts, shapes)
    least = count_chain(spread(build(kind), [LEAST] * 3), facts, shapes)
    budget = round(least + share * (full - least))
    config = build(kind, budget, densities=course)
    filled = fill_densities(config, facts, shapes)
    spent = count_chain(filled, facts, shapes)
    assert least <= spent <= budget
    assert filled.chain.budget is None
    wanted = [config.get_share(position) for position in (1, 2, 3)]
    factors = [density / one for density, one in zip(filled.chain.densities, wanted, strict=True)]
    if spent > least * 1.2:
        assert max(factors) == pytest.approx(min(factors), rel=0.1)
    # Nothing on the course comes closer: a walk along it.
    steps = (number / 50 for number in range(1, 51))
    counts = [
        count_chain(spread(config, [one * step / max(wanted) for one in wanted]), facts, shapes) for step in steps
    ]
    assert spent >= max((count for count in counts if count <= budget), default=least)
    assert resolve_config(load_yaml(dump_yaml(filled))) == filled


def test_the_factor_is_the_largest_that_fits(backbone_facts):
    facts, shapes = backbone_facts
    filled = fill_densities(build("bottleneck", 20_000), facts, shapes)
    inner = round(filled.get_link(1).density * 64)
    more = spread(filled, [(inner + 1) / 64] * 3)
    assert count_chain(filled, facts, shapes) <= 20_000 < count_chain(more, facts, shapes)


def test_a_budget_below_the_smallest_chain_names_it(backbone_facts):
    with pytest.raises(ConfigError) as caught:
        fill_densities(build("attention", 5_000), *backbone_facts)
    assert caught.value.code == "budget_too_small"
    assert caught.value.path == "chain.budget"
    least = caught.value.params["least"]
    assert count_chain(fill_densities(build("attention", least), *backbone_facts), *backbone_facts) == least


def test_a_budget_beyond_the_full_chain_is_noted(backbone_facts):
    config = build("attention", 10**8)
    filled = fill_densities(config, *backbone_facts)
    assert filled.chain.densities == (1.0, 1.0, 1.0)
    [note] = describe_spending(config, filled, *backbone_facts)
    assert note["code"] == "budget_large"
    spent = build("attention", 100_000)
    [note] = describe_spending(spent, fill_densities(spent, *backbone_facts), *backbone_facts)
    assert note["code"] == "budget_spent"
    assert note["params"]["parameters"] <= 100_000


def test_without_a_budget_or_a_link_nothing_changes(backbone_facts):
    for config in (build(), build(budget=1_000, depth=0)):
        assert fill_densities(config, *backbone_facts) is config
        assert describe_spending(config, config, *backbone_facts) == []


def test_ties_are_paid_once(backbone_facts):
    facts, shapes = backbone_facts
    links = {"kind": "attention", "tie": 1}
    tied = fill_densities(build(budget=60_000, links=links), facts, shapes)
    free = fill_densities(build(budget=60_000, links={"kind": "attention"}), facts, shapes)
    assert tied.get_link(1).density > free.get_link(1).density


def test_the_default_chain_fits_into_500k(backbone_facts):
    """The packaged backbone's width, the default chain's depth, width and kind."""
    facts, shapes = backbone_facts
    wide = type(facts)(**{**facts.__dict__, "hidden_size": 384})
    config = resolve_config(
        {
            "data": {"train": "t"},
            "input": {"tokens": "w"},
            "chain": {"budget": "500k"},
            "heads": {"h": {"kind": "tagging", "column": "c"}},
        }
    )
    assert 400_000 < count_chain(fill_densities(config, wide, shapes), wide, shapes) <= 500_000
