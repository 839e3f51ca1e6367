"""The mean of the weights is what is judged and kept; training itself goes on as without."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chain_core.training import lesson, loop
from chain_core.training.averaging import Average
from tests.training.setup import PLAIN, finish, get_ready

HEADS = {"intent": {"kind": "classification", "column": "intent"}}
NUMBERS = st.floats(-100, 100, width=32)


def walk(path, share):
    """A weight that has gone along a path, and its average."""
    weight = torch.zeros(1)
    average = Average({"weight": weight}, share)
    for step, value in enumerate(path, start=1):
        weight.fill_(value)
        average.follow(step)
    return weight, average


@given(path=st.lists(NUMBERS, min_size=1, max_size=30), share=st.sampled_from([1.0, 0.5, 0.25, 0.1]))
def test_later_steps_count_more_as_a_polynomial_of_their_number(path, share):
    """Shamir & Zhang 2013, section 4: η = 1 / share - 1."""
    eta, expected = 1 / share - 1, 0.0
    for step, value in enumerate(path, start=1):
        new = (eta + 1) / (step + eta)
        expected = (1 - new) * expected + new * value
    weight, average = walk(path, share)
    with average.applied():
        assert weight.item() == pytest.approx(expected, abs=1e-3)
    assert weight.item() == torch.tensor(path[-1]).item()


@given(path=st.lists(NUMBERS, min_size=1, max_size=30))
def test_a_share_of_one_is_the_plain_mean(path):
    weight, average = walk(path, 1.0)
    with average.applied():
        assert weight.item() == pytest.approx(sum(path) / len(path), abs=1e-3)


def test_the_mean_lies_about_in_the_middle_of_the_latest_share():
    weight, average = walk(range(1000), 0.1)
    with average.applied():
        assert 890 < weight.item() < 930


def test_weights_come_back_after_a_failure():
    weight, average = walk([1.0, 3.0], 1.0)

    def fail():
        with average.applied():
            assert weight.item() == 2.0
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert weight.item() == 3.0


def test_without_a_share_nothing_is_kept():
    weight, average = walk([1.0, 3.0], 0.0)
    with average.applied():
        assert weight.item() == 3.0
    assert average.get_state() == {}


def test_it_goes_on_from_a_state():
    _, first = walk([1.0, 3.0, 4.0], 0.5)
    weight, again = walk([7.0], 0.5)
    again.set_state({name: value.clone() for name, value in first.get_state().items()})
    for each in (first, again):
        weight.fill_(10.0)
        next(iter(each._trained.values())).fill_(10.0)
        each.follow(4)
    assert again.get_state()["weight"].equal(first.get_state()["weight"])


@pytest.fixture
def passed(monkeypatch):
    """The weights after each step."""
    seen, take_step = [], lesson.take_step

    def look(model, *given, **options):
        losses = take_step(model, *given, **options)
        seen.append({name: value.detach().clone() for name, value in model.named_parameters()})
        return losses

    monkeypatch.setattr(lesson, "take_step", look)
    return seen


def train(backbone, commands, folder, *, tuning="full", **settings):
    ranks = {"rank": 4, **({"final_rank": 2} if tuning == "adalora" else {})}
    mapping = {
        **PLAIN,
        "data": {"train": str(commands)},
        "backbone": {"name": str(backbone), "tuning": tuning, "layers": 1, **ranks},
        "heads": HEADS,
        "train": {**PLAIN["train"], "epochs": 1, **settings},
    }
    ready = get_ready(mapping, folder)
    events, outcome = finish(ready.train())
    return ready.model, events, outcome


@pytest.mark.parametrize("tuning", ["frozen", "full", "lora"])
def test_a_run_ends_with_the_mean_of_its_weights(backbone, commands, tmp_path, passed, tuning):
    model, _, _ = train(backbone, commands, tmp_path, tuning=tuning, average=1.0)
    assert len(passed) > 3
    for name, value in model.named_parameters():
        mean = torch.stack([weights[name] for weights in passed]).mean(0)
        assert torch.allclose(value, mean, atol=1e-5), name
    assert not all(torch.equal(value, passed[-1][name]) for name, value in model.named_parameters())


def test_the_mean_is_judged_and_training_goes_on_as_without(backbone, commands, tmp_path, passed):
    _, plain, _ = train(backbone, commands, tmp_path, epochs=3)
    without = passed.copy()
    passed.clear()
    _, averaged, _ = train(backbone, commands, tmp_path, epochs=3, average=0.5)
    assert len(without) == len(passed)
    for before, after in zip(without, passed, strict=True):
        assert all(torch.equal(before[name], after[name]) for name in before)
    losses = [[event["loss"] for event in events if event["kind"] == "step"] for events in (plain, averaged)]
    assert losses[0] == losses[1]


def test_each_epoch_judges_the_mean_of_all_steps_so_far(backbone, commands, tmp_path, passed, monkeypatch):
    judged, judge = [], loop._judge

    def look(lesson):
        judged.append((len(passed), {name: value.clone() for name, value in lesson.course.model.named_parameters()}))
        return judge(lesson)

    monkeypatch.setattr(loop, "_judge", look)
    train(backbone, commands, tmp_path, epochs=2, average=1.0)
    assert [steps for steps, _ in judged] == [len(passed) // 2, len(passed)]
    for steps, weights in judged:
        for name, value in weights.items():
            mean = torch.stack([each[name] for each in passed[:steps]]).mean(0)
            assert torch.allclose(value, mean, atol=1e-5), name


def test_not_with_adalora(backbone, commands, tmp_path, passed):
    model, _, outcome = train(backbone, commands, tmp_path, tuning="adalora", epochs=1, average=1.0)
    assert outcome.best_epoch == 1
    assert all(torch.equal(value, passed[-1][name]) for name, value in model.named_parameters())
