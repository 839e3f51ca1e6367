"""The CRF against enumeration of every path: loss, gradients, best path, probabilities."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from chain_core.modeling.heads.bio import build_bio_rules
from chain_core.modeling.heads.crf import Crf, pack

SPACE = ("O", "B-a", "B-b", "I-a", "I-b")


@st.composite
def draw_case(draw: st.DrawFn):
    """(crf, logits, mask, labels) of small sizes; masks may have holes, labels may be unknown."""
    rows, words, kinds = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(2, 5))
    torch.manual_seed(draw(st.integers(0, 10_000)))
    crf = Crf(kinds)
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter, std=draw(st.sampled_from([0.01, 0.1, 0.5])))
    logits = torch.randn(rows, words, kinds) * draw(st.sampled_from([1.0, 5.0]))
    mask = torch.tensor(draw(st.lists(st.booleans(), min_size=rows * words, max_size=rows * words)))
    labels = st.integers(-1 if draw(st.booleans()) else 0, kinds - 1)
    tags = torch.tensor(draw(st.lists(labels, min_size=rows * words, max_size=rows * words)))
    return crf, logits, mask.view(rows, words), tags.view(rows, words)


def list_paths(crf: Crf, logits: torch.Tensor, kept: list[int]):
    """Every path over the kept words of one row, with its score."""
    steps, first, last = crf.get_scores()
    for path in product(range(logits.shape[1]), repeat=len(kept)):
        score = first[path[0]] + last[path[-1]] + sum(logits[word, tag] for word, tag in zip(kept, path, strict=True))
        yield path, score + sum(steps[a, b] for a, b in pairwise(path))


def compute_reference(crf: Crf, logits, mask, labels):
    total, known = torch.zeros(()), 0
    for row in range(len(logits)):
        kept = [word for word in range(mask.shape[1]) if mask[row, word]]
        tags = [int(labels[row, word]) for word in kept]
        if all(tag < 0 for tag in tags):
            continue
        paths = list(list_paths(crf, logits[row], kept))
        right = [s for path, s in paths if all(t in (-1, p) for t, p in zip(tags, path, strict=True))]
        total = total + torch.stack([s for _, s in paths]).logsumexp(0) - torch.stack(right).logsumexp(0)
        known += sum(tag >= 0 for tag in tags)
    return total / max(known, 1), known


@settings(max_examples=60)
@given(draw_case())
def test_loss_and_gradients_are_those_of_all_paths(case) -> None:
    crf, logits, mask, labels = case
    inputs = [logits.clone().requires_grad_() for _ in range(2)]
    loss = crf.compute_loss(inputs[0], labels, mask)
    expected, known = compute_reference(crf, inputs[1], mask, labels)
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-4)
    if not known:
        assert loss.item() == 0
        return
    got = torch.autograd.grad(loss, [inputs[0], *crf.parameters()])
    wanted = torch.autograd.grad(expected, [inputs[1], *crf.parameters()], allow_unused=True)
    for mine, reference in zip(got, wanted, strict=True):
        reference = torch.zeros_like(mine) if reference is None else reference
        torch.testing.assert_close(mine, reference, rtol=1e-3, atol=1e-3)


@settings(max_examples=60)
@given(draw_case())
def test_decoding_finds_the_best_valid_path_and_its_chances(case) -> None:
    crf, logits, mask, _ = case
    space = SPACE[: logits.shape[2]]
    tags, sure = crf.decode(logits, mask, build_bio_rules(space))
    for row in range(len(logits)):
        kept = [word for word in range(mask.shape[1]) if mask[row, word]]
        whole = ["O"] * mask.shape[1]
        for word in kept:
            whole[word] = space[tags[row, word]]
        assert is_valid(whole, space)
        assert (tags[row][~mask[row]] == 0).all()
        assert (sure[row][~mask[row]] == 1).all()
        if not kept:
            continue
        valid = [(path, s.item()) for path, s in list_paths(crf, logits[row], kept) if fits(path, kept, space, mask)]
        best = max(score for _, score in valid)
        chosen = next(s for path, s in valid if list(path) == tags[row][kept].tolist())
        assert chosen == pytest.approx(best, abs=1e-4)
        weights = np.exp(np.array([score for _, score in valid]) - best)
        for place, word in enumerate(kept):
            through = sum(w for (path, _), w in zip(valid, weights, strict=True) if path[place] == tags[row, word])
            assert sure[row, word].item() == pytest.approx(through / weights.sum(), abs=1e-4)


def fits(path, kept, space, mask) -> bool:
    whole = ["O"] * mask.shape[1]
    for word, tag in zip(kept, path, strict=True):
        whole[word] = space[tag]
    return is_valid(whole, space)


def is_valid(tags: list[str], space: tuple[str, ...]) -> bool:
    """No I-x without B-x or I-x before it, where the space has B-x."""
    before = "O"
    for tag in tags:
        kind = tag[2:]
        if tag[0] == "I" and f"B-{kind}" in space and before not in (f"B-{kind}", f"I-{kind}"):
            return False
        before = tag
    return True


def test_untrained_crf_is_the_plain_loss() -> None:
    logits, labels = torch.randn(3, 4, 5), torch.randint(0, 5, (3, 4))
    loss = Crf(5).compute_loss(logits, labels, torch.ones(3, 4, dtype=torch.bool))
    torch.testing.assert_close(loss, F.cross_entropy(logits.flatten(0, 1), labels.flatten()))


def test_sharp_scores_stay_finite() -> None:
    """A trained head's logits lie hundreds apart in a long row: no overflow, no NaN in the gradient."""
    crf = Crf(4)
    torch.nn.init.normal_(crf.steps, std=2)
    logits = (torch.randn(2, 60, 4) * 200).requires_grad_()
    labels = torch.randint(-1, 4, (2, 60))
    with torch.autocast("cpu", torch.bfloat16):
        loss = crf.compute_loss(logits, labels, torch.ones(2, 60, dtype=torch.bool))
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in crf.parameters())
    _, sure = crf.decode(logits.detach(), torch.ones(2, 60, dtype=torch.bool), build_bio_rules(SPACE[:4]))
    assert sure.isfinite().all()


def test_words_left_out_are_stepped_over() -> None:
    packed = pack(torch.tensor([[True, False, True, True, False]]))
    assert packed.order[0, :3].tolist() == [0, 2, 3]
    assert packed.mask.tolist() == [[True, True, True, False, False]]
    assert packed.torn.tolist() == [[False, True, False, False, False]]
