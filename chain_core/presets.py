"""Three sets of defaults: any key of the user's own goes over them.

fast      the backbone is frozen and its features are cached: an epoch costs a few matrix products
balanced  the top three layers in full: what lies below them is cached
thorough  all layers in full, under a link for each of a backbone of six layers and one for its embeddings
"""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "fast": {
        "backbone": {"tuning": "frozen"},
        "chain": {"depth": 3, "links": {"dropout": 0.0}},
        "train": {
            "epochs": 8,
            "learning_rate": 2e-3,
            "schedule": "constant",
            "average": 0.1,
            "prune": 0.9,
        },
    },
    "balanced": {
        "backbone": {"tuning": "full", "layers": 3},
        "chain": {"depth": 3, "links": {"dropout": 0.0}},
        "train": {
            "epochs": 8,
            "batch_size": 32,
            "learning_rate": 1e-3,
            "backbone_learning_rate": 2e-4,
            "schedule": "constant",
            "average": 0.1,
            "prune": 0.9,
        },
    },
    "thorough": {
        "backbone": {"tuning": "full"},
        "chain": {"depth": 7, "links": {"kind": "attention", "dropout": 0.1}},
        "train": {
            "epochs": 8,
            "batch_size": 32,
            "learning_rate": 1e-3,
            "backbone_learning_rate": 1e-4,
        },
    },
}
