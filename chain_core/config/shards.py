"""What a config asks of a backbone that would keep its tuned layers from being shared out among processes."""

from __future__ import annotations

from chain_core.config.root import Config


def find_unshardable(config: Config) -> str:
    """The first key that needs whole weights in every process; "" where nothing does."""
    links = config.chain.links if isinstance(config.chain.links, tuple) else (config.chain.links,)
    reasons = {
        "backbone.tuning": config.backbone.tuning == "adalora",
        "chain.links.tie": any(link.tie == "backbone" for link in links),
        "train.l2_sp": config.train.l2_sp > 0,
        "stages": config.stages is not None,
        "start.l2": config.start is not None and config.start.l2 > 0,
    }
    return next((key for key, holds in reasons.items() if holds), "")
