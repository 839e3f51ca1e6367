"""What events become in the curves."""

from __future__ import annotations

from chain_core.services.store.curves import compute_points


def list_series(event: dict) -> dict[str, float]:
    return {point["series"]: point["value"] for point in compute_points(event)}


STEP = {"kind": "step", "step": 3, "loss": 1.0, "losses": {"intent@3": 0.5}, "learning_rate": 1e-3}


def test_gradients_and_memory_are_series() -> None:
    event = {**STEP, "gradient": {"links": 0.5, "heads": 2.0}, "memory": {"process": 10, "device": 5}}
    assert list_series(event) == {
        "train/loss": 1.0, "train/intent@3/loss": 0.5, "learning_rate": 1e-3, "gradient/links": 0.5,
        "gradient/heads": 2.0, "memory/process": 10.0, "memory/device": 5.0,
    }  # fmt: skip


def test_learning_rates_are_told_apart_where_there_are_several() -> None:
    rates = {"backbone": 1e-4, "chain": 1e-3}
    assert "learning_rate/chain" not in list_series({**STEP, "learning_rates": {"chain": 1e-3}})
    assert list_series({**STEP, "learning_rates": rates})["learning_rate/backbone"] == 1e-4


def test_a_gradient_that_is_no_number_is_left_out() -> None:
    assert "gradient/links" not in list_series({**STEP, "gradient": {"links": None}})
