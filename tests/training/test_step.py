"""One update against straightforward versions of it: the same losses, the same gradients."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from chain_core.config import HEAD_KINDS, TrainConfig, resolve_config
from chain_core.data.schema import Task
from chain_core.modeling.backbones.catalogue import read_facts
from chain_core.modeling.backbones.ranks import compute_orthogonality, count_ranks
from chain_core.modeling.batch import Batch
from chain_core.modeling.model import build_model, load_lower, name_weight
from chain_core.training.agreement import COMPARISONS, compute_disagreement
from chain_core.training.anchors import Anchor, build_pretrained_anchor, compute_pull
from chain_core.training.losses import compute_losses, compute_total, read_loss_weights
from chain_core.training.optimiser import WEIGHTS_RATE, build_optimiser
from chain_core.training.scaling import LossScale
from chain_core.training.step import take_step
from tests.tiny import VOCABULARY

CPU = torch.device("cpu")
TASKS = (
    Task("intent", "classification", "intent", ("a", "b", "c")),
    Task("slots", "tagging", "slots", ("O", "B-x", "I-x")),
    Task("topics", "multilabel", "topics", ("p", "q")),
    Task("score", "regression", "score"),
)
HEADS = {
    "intent": {"kind": "classification", "column": "intent", "depths": [0, "last"], "depth_weights": [0.5, 2.0]},
    "slots": {"kind": "tagging", "column": "slots", "weight": 3.0},
    "topics": {"kind": "multilabel", "column": "topics"},
    "score": {"kind": "regression", "column": "score", "weight": 0.5},
}


def start(folder, *, dropout=0.0, backbone=None, train=None, seed=0):
    """A model with all four kinds of heads, its config, and a batch whose states are cached where a half is frozen."""
    mapping = {
        "data": {"train": "t"},
        "input": {"tokens": "tokens"},
        "backbone": {"name": str(folder), "dropout": dropout, **(backbone or {})},
        "chain": {"depth": 2, "width": 16, "lexical": "off", "links": {"dropout": dropout}},
        "heads": {name: {**head, "dropout": dropout} for name, head in HEADS.items()},
        "train": {"clip": None, "seed": seed, **(train or {})},
    }
    config = resolve_config(mapping)
    facts = read_facts(str(folder))
    model = build_model(config, TASKS, facts).train()
    if not dropout:
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
    generator = torch.Generator().manual_seed(3)
    mask = torch.arange(7) < torch.tensor([[7], [4], [6]])
    ids = torch.randint(4, len(VOCABULARY), (3, 7), generator=generator) * mask
    words = mask[:, 1:-1] & mask[:, 2:]
    batch = Batch(
        rows=torch.arange(3).numpy(),
        mask=mask,
        input_ids=ids,
        word_starts=torch.where(words, torch.arange(1, 6), 0),
        word_mask=words,
        labels={
            "intent": torch.tensor([0, 2, -1]),
            "slots": torch.where(words, torch.arange(5) % 3, -1),
            "topics": torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]]),
            "score": torch.tensor([0.5, float("nan"), -1.0]),
        },
    )
    if model.base:
        states = load_lower(facts, model.base)(mask, ids)
        hidden = {layer: states[layer].half() for layer in model.cached_layers}
        batch = replace(batch, hidden=hidden, input_ids=None)
    return model, config, batch


def step(model, config, batch, **options):
    """One step that changes nothing, so that its gradients can be read; the losses."""
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.0)
    return take_step(model, batch, config, optimiser, CPU, torch.float32, **options)


def read_gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def compare(model, losses, expected_total, expected_gradients):
    torch.testing.assert_close(losses["", 0], expected_total.detach())
    found = read_gradients(model)
    assert set(found) == set(expected_gradients)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected_gradients[name], rtol=1e-4, atol=1e-6, msg=name)


def differentiate(model, total):
    model.zero_grad(set_to_none=True)
    total.backward()
    return read_gradients(model)


def add_up(losses):
    """The weights of HEADS by hand."""
    return (
        0.5 * losses["intent", 0] + 2.0 * losses["intent", 2] + 3.0 * losses["slots", 2]
        + losses["topics", 2] + 0.5 * losses["score", 2]
    )  # fmt: skip


def test_plain_step_is_the_weighted_sum(backbone):
    model, config, batch = start(backbone)
    total = add_up(compute_losses(model, model(batch), batch))
    expected = differentiate(model, total)
    compare(model, step(model, config, batch), total, expected)


def kl(p, q):
    return (p * (p.log() - q.log())).sum(-1)


@pytest.mark.parametrize("tuning", ["frozen", "lora"])
def test_r_drop(backbone, tuning):
    model, config, batch = start(backbone, dropout=0.3, backbone={"tuning": tuning}, train={"r_drop": 1.5})
    torch.manual_seed(5)
    one, two = model(batch), model(batch)
    gaps = {}
    for key, first, second in ((key, one[key], two[key]) for key in one):
        if key[0] == "score":
            gaps[key] = (first - second).pow(2).mean()
        elif key[0] == "topics":
            p, q = first.sigmoid(), second.sigmoid()
            p, q = torch.stack([p, 1 - p], -1), torch.stack([q, 1 - q], -1)
            gaps[key] = (0.5 * kl(p, q) + 0.5 * kl(q, p)).mean()
        else:
            p, q = first.softmax(-1), second.softmax(-1)
            every = 0.5 * kl(p, q) + 0.5 * kl(q, p)
            gaps[key] = every[batch.word_mask].mean() if key[0] == "slots" else every.mean()
    losses = [add_up(compute_losses(model, out, batch)) for out in (one, two)]
    total = (losses[0] + losses[1]) / 2 + 1.5 * add_up(gaps)
    assert add_up(gaps) > 1e-4
    expected = differentiate(model, total)
    torch.manual_seed(5)
    compare(model, step(model, config, batch), total, expected)


@pytest.mark.parametrize("tuning", [{}, {"tuning": "full", "layers": 2}, {"tuning": "lora", "layers": 3}], ids=str)
def test_adversarial_steps_from_cached_states(backbone, tuning):
    model, config, batch = start(backbone, backbone=tuning, train={"adversarial": 0.7})
    inputs = {layer: states.float().requires_grad_() for layer, states in batch.hidden.items()}
    plain = add_up(compute_losses(model, model(replace(batch, hidden=inputs)), batch))
    gradients = dict(zip(inputs, torch.autograd.grad(plain, list(inputs.values()), retain_graph=True), strict=True))
    norms = torch.stack([g[row][batch.mask[row]].pow(2).sum() for row in range(3) for g in gradients.values()])
    norms = norms.view(3, -1).sum(1).sqrt()
    moved = {
        layer: states.detach() + 0.7 * gradients[layer] * batch.mask[..., None] / norms[:, None, None]
        for layer, states in inputs.items()
    }
    second = add_up(compute_losses(model, model(replace(batch, hidden=moved)), batch))
    assert second > plain
    expected = differentiate(model, plain + second)
    compare(model, step(model, config, batch), plain, expected)


def test_adversarial_steps_from_the_embeddings_where_all_is_tuned(backbone):
    model, config, batch = start(backbone, backbone={"tuning": "full"}, train={"adversarial": 0.5})
    seen = []
    embeddings = model.upper.model.embeddings
    handle = embeddings.register_forward_hook(lambda module, args, output: seen.append(output))
    plain = add_up(compute_losses(model, model(batch), batch))
    (gradient,) = torch.autograd.grad(plain, seen, retain_graph=True)
    handle.remove()
    gradient = gradient * batch.mask[..., None]
    delta = 0.5 * gradient / gradient.flatten(1).norm(dim=1)[:, None, None]
    handle = embeddings.register_forward_hook(lambda module, args, output: output + delta)
    second = add_up(compute_losses(model, model(batch), batch))
    handle.remove()
    assert second > plain
    expected = differentiate(model, plain + second)
    compare(model, step(model, config, batch), plain, expected)


def test_perturbed_pooled_rows_add_to_the_gradient(backbone):
    model, config, batch = start(backbone, train={"adversarial": 0.5})
    plain = step(model, config.model_copy(update={"train": TrainConfig(clip=None)}), batch)
    before = read_gradients(model)
    again = step(model, config, batch)
    torch.testing.assert_close(plain["", 0], again["", 0])
    assert any(not torch.allclose(before[name], gradient) for name, gradient in read_gradients(model).items())


@pytest.mark.parametrize("tuning", ["full", "norm", "lora", "dora", "adalora", "ia3", "prefix"])
def test_pull_towards_the_pretrained_weights(backbone, tuning):
    model, config, batch = start(backbone, backbone={"tuning": tuning, "layers": 2}, train={"l2_sp": 0.3})
    anchor = build_pretrained_anchor(model, config.train.l2_sp, CPU)
    assert anchor.values
    assert compute_pull(model, [anchor]).item() == 0
    began = {name: value.detach().clone() for name, value in model.named_parameters()}
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.upper.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    held = {name: p for name, p in model.named_parameters() if name in anchor.values}
    pull = 0.15 * sum((p - began[name]).pow(2).sum() for name, p in held.items())
    plain = add_up(compute_losses(model, model(batch), batch)) + pull
    if tuning == "adalora":
        plain = plain + compute_orthogonality(model.upper)
    expected = differentiate(model, plain)
    compare(model, step(model, config, batch, anchors=[anchor]), plain, expected)


def test_what_lora_is_pulled_by_is_what_makes_its_change(backbone):
    model, _, _ = start(backbone, backbone={"tuning": "lora"}, train={"l2_sp": 0.1})
    assert all("lora_B" in name for name in model.pretrained)
    assert all(float(value.abs().sum()) == 0 for value in model.pretrained.values())


def test_what_is_frozen_now_is_not_pulled(backbone):
    model, _, _ = start(backbone, backbone={"tuning": "full"}, train={"l2_sp": 1.0})
    anchor = Anchor({name: value + 1 for name, value in model.pretrained.items()}, 1.0)
    assert compute_pull(model, [anchor]).item() > 0
    model.upper.requires_grad_(False)
    assert compute_pull(model, [anchor]).item() == 0


def test_learned_weights(backbone):
    model, config, batch = start(backbone, train={"loss_weights": "uncertainty"})
    values = {("intent", 0): 0.3, ("intent", 2): -0.5, ("slots", 2): 1.0, ("topics", 2): 0.0, ("score", 2): -1.2}
    with torch.no_grad():
        for key, value in values.items():
            model.log_variances[name_weight(*key)].fill_(value)
    losses = compute_losses(model, model(batch), batch)
    learned = {key: model.log_variances[name_weight(*key)] for key in losses}
    by_hand = {key: torch.exp(-learned[key]) * loss + learned[key] / 2 for key, loss in losses.items()}
    by_hand["score", 2] = 0.5 * torch.exp(-learned["score", 2]) * losses["score", 2] + learned["score", 2] / 2
    total = add_up(by_hand)
    expected = differentiate(model, total)
    compare(model, step(model, config, batch), total, expected)
    assert read_loss_weights(model)["slots@2"] == pytest.approx(0.3678794)


def test_a_head_without_labels_in_a_batch_learns_no_weight_from_it(backbone):
    model, config, batch = start(backbone, train={"loss_weights": "uncertainty"})
    labels = {**batch.labels, "intent": torch.full((3,), -1)}
    step(model, config, replace(batch, labels=labels))
    assert model.log_variances[name_weight("intent", 2)].grad is None
    assert model.log_variances[name_weight("slots", 2)].grad != 0


def test_learned_weights_settle_where_their_gradient_is_zero(backbone):
    """exp(-s) loss + s / 2 is least at s = log(2 loss)."""
    model, config, batch = start(backbone, train={"loss_weights": "uncertainty", "learning_rate": 0.02})
    model.requires_grad_(False)
    model.log_variances.requires_grad_(True)
    optimiser = build_optimiser(model, config.train)
    (group,) = optimiser.param_groups
    assert (group["lr"], group["weight_decay"]) == (0.02 * WEIGHTS_RATE, 0.0)
    for _ in range(150):
        losses = take_step(model, batch, config, optimiser, CPU, torch.float32)
    found = float(model.log_variances[name_weight("slots", 2)].detach())
    assert found == pytest.approx(float(torch.log(2 * losses["slots", 2])), abs=0.05)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("settings", [{"r_drop": 1.0}, {"adversarial": 0.5}, {"loss_weights": "uncertainty"}], ids=str)
@pytest.mark.parametrize("tuning", ["frozen", "adalora", "prefix"])
def test_half_precision_steps(backbone, settings, tuning, dtype):
    model, config, batch = start(backbone, dropout=0.1, backbone={"tuning": tuning}, train=settings)
    optimiser, scale = build_optimiser(model, config.train), LossScale(dtype)
    first = take_step(model, batch, config, optimiser, CPU, dtype, scale=scale)
    for _ in range(15):
        last = take_step(model, batch, config, optimiser, CPU, dtype, scale=scale)
    assert last["", 0].dtype == torch.float32
    assert last["", 0] < first["", 0]


def test_adalora_ends_at_its_final_mean_rank_and_keeps_what_matters(backbone):
    model, config, batch = start(
        backbone, backbone={"tuning": "adalora", "rank": 6, "final_rank": 2, "layers": 2}, train={"learning_rate": 0.01}
    )
    optimiser = build_optimiser(model, config.train)
    ranks = []
    for number in range(1, 31):
        take_step(model, batch, config, optimiser, CPU, torch.float32, progress=(number, 30))
        ranks.append(count_ranks(model.upper))
        assert model.settled == (number >= 21)
    targets = len(ranks[0])
    sums = [sum(each) for each in ranks]
    assert sums[0] == 6 * targets
    assert all(later <= earlier for earlier, later in itertools.pairwise(sums[2:]))
    assert sums[20] == sums[-1] == 2 * targets
    assert len(set(ranks[-1])) > 1, "ranks move to where they matter"
    assert ranks[20] == ranks[-1]


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_adalora_settles_in_the_shortest_runs(backbone, steps):
    model, config, batch = start(backbone, backbone={"tuning": "adalora", "rank": 4, "final_rank": 1})
    optimiser = build_optimiser(model, config.train)
    for number in range(1, steps + 1):
        take_step(model, batch, config, optimiser, CPU, torch.float32, progress=(number, steps))
    ranks = count_ranks(model.upper)
    assert sum(ranks) == len(ranks)


def test_adalora_that_keeps_its_rank(backbone):
    model, config, batch = start(backbone, backbone={"tuning": "adalora", "rank": 4, "final_rank": 4})
    optimiser = build_optimiser(model, config.train)
    for number in range(1, 4):
        take_step(model, batch, config, optimiser, CPU, torch.float32, progress=(number, 3))
    assert set(count_ranks(model.upper)) == {4}


def test_orthogonality(backbone):
    model, _, _ = start(backbone, backbone={"tuning": "adalora", "rank": 3})
    gaps = []
    for name, value in model.upper.named_parameters():
        if "lora_A" in name:
            gaps.append(torch.linalg.norm(value @ value.T - torch.eye(3)))
        if "lora_B" in name:
            gaps.append(torch.linalg.norm(value.T @ value - torch.eye(3)))
    torch.testing.assert_close(compute_orthogonality(model.upper), 0.5 * sum(gaps) / len(gaps))


def test_reference_of_the_divergence_is_torchs():
    torch.manual_seed(0)
    first, second = torch.randn(4, 5), torch.randn(4, 5)
    both = [
        F.kl_div(one.log_softmax(1), two.log_softmax(1), log_target=True, reduction="batchmean")
        for one, two in ((first, second), (second, first))
    ]
    found = compute_disagreement("classification", first, second, Batch(None, torch.ones(4, 1)))
    torch.testing.assert_close(found, sum(both) / 2)
    # An answer's two ends are two such distributions over the places; what cannot be agrees.
    ends = [torch.stack([one, one.flip(1)], 2) for one in (first, second)]
    ends = [torch.cat([torch.full((4, 1, 2), -1e9), one], 1) for one in ends]
    found = compute_disagreement("span", *ends, Batch(None, torch.ones(4, 6)))
    torch.testing.assert_close(found, sum(both) / 2)


def test_every_kind_of_head_with_a_column_is_asked_to_agree():
    assert set(COMPARISONS) == set(HEAD_KINDS) - {"masked_lm", "causal_lm"}


def test_total_without_learned_weights_ignores_them(backbone):
    model, config, batch = start(backbone)
    losses = compute_losses(model, model(batch), batch)
    torch.testing.assert_close(compute_total(losses, config, None), add_up(losses))
