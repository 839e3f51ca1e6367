"""A linear-chain conditional random field over the words of a row: how well each tag follows another is learned.

A path's score is the sum of its words' scores, of its steps from tag to tag, and of its first and last tag (Lafferty et
al. 2001; over a neural encoder, Lample et al. 2016, arXiv 1603.01360). Sums over all paths are taken by the forward
algorithm in log space, for all rows at once: the only loop is over word positions, and a step is one (B, K) x (K, K)
product. Words that are masked are stepped over. Tags that are unknown count as any (Tsuboi et al. 2008).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from chain_core.modeling.heads.bio import BioRules

SCALE = 10.0
"""A parameter's part in a score. Adam moves every parameter by about the learning rate a step; a step between tags must
move by whole units while the layers below move by hundredths, so it is kept in units of ten."""
NEVER = -1e9
"""The score of what a label excludes: finite, so that no gradient becomes NaN."""
MOST_STEPS = 2**22
"""Steps (rows x K x K) that the search for the best path may weigh at once."""


@dataclass(frozen=True)
class Packed:
    """B rows whose kept words stand in front."""

    order: Tensor
    """(B, W) int64: which word stands here."""
    mask: Tensor
    """(B, W) bool: the first words of each row."""
    torn: Tensor
    """(B, W) bool: words before which some are left out."""


class Crf(nn.Module):
    """Steps between K tags. All scores start at 0: a plain tagger."""

    def __init__(self, kinds: int) -> None:
        super().__init__()
        self.steps = nn.Parameter(torch.zeros(kinds, kinds))
        self.first = nn.Parameter(torch.zeros(kinds))
        self.last = nn.Parameter(torch.zeros(kinds))

    def get_scores(self, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
        """(K, K) of a step from one tag to another, (K,) of the first tag, (K,) of the last."""
        return tuple(SCALE * part.to(dtype) for part in (self.steps, self.first, self.last))  # type: ignore[return-value]

    def compute_loss(self, logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        """-log p(labels) of all rows, divided by their known words: (B, W, K), (B, W), -1 where unknown, (B, W).

        Rows without a known word do not count; 0 where none has one.
        """
        known = (labels >= 0) & mask
        rows = known.any(1)
        if not rows.any():
            return logits.sum() * 0
        device = logits.device.type
        with torch.autocast(device, enabled=False):
            packed = pack(mask[rows])
            scores = _take(logits[rows].float(), packed)
            tags = labels[rows].gather(1, packed.order).masked_fill(~packed.mask, -1)
            missing = packed.mask & (tags < 0)
            right = self._score_open(scores, tags, packed) if missing.any() else self._score_path(scores, tags, packed)
            total = self._sum_paths(scores, packed.mask)
            return (total - right).sum() / known.sum()

    def _sum_paths(self, scores: Tensor, mask: Tensor) -> Tensor:
        """log of the sum over all paths of exp(score), (B,)."""
        steps, first, last = self.get_scores()
        return torch.logsumexp(_walk(scores, mask, steps, first)[-1] + last, 1)

    def _score_path(self, scores: Tensor, tags: Tensor, packed: Packed) -> Tensor:
        """The score of one path a row, (B,)."""
        steps, first, last = self.get_scores()
        chosen = tags.clamp(min=0)
        words = scores.gather(2, chosen[:, :, None])[:, :, 0] * packed.mask
        between = steps[chosen[:, :-1], chosen[:, 1:]] * packed.mask[:, 1:]
        end = chosen.gather(1, packed.mask.sum(1, keepdim=True) - 1)[:, 0]
        return first[chosen[:, 0]] + words.sum(1) + between.sum(1) + last[end]

    def _score_open(self, scores: Tensor, tags: Tensor, packed: Packed) -> Tensor:
        """log of the sum over the paths that agree with the known tags, (B,)."""
        kinds = torch.arange(scores.shape[2], device=scores.device)
        excluded = (tags[:, :, None] >= 0) & (tags[:, :, None] != kinds)
        return self._sum_paths(scores.masked_fill(excluded, NEVER), packed.mask)

    @torch.no_grad()
    def decode(self, logits: Tensor, mask: Tensor, rules: BioRules) -> tuple[Tensor, Tensor]:
        """The best BIO-valid path, (B, W) int64, O where masked; and the probability of each of its tags, (B, W).

        That is a tag's share of all valid paths through it, by the forward-backward algorithm; 1 where masked.
        """
        dtype = torch.float32 if logits.device.type == "mps" else torch.float64
        packed = pack(mask)
        scores = _take(logits.to(dtype), packed)
        steps, first, last = self.get_scores(dtype)
        inside = torch.from_numpy(rules.inside[rules.begin != rules.inside]).to(logits.device)
        begin = torch.from_numpy(rules.begin[rules.begin != rules.inside]).to(logits.device)
        # An I- needs its B- or I- just before it: not as a first word, nor after a word that is left out.
        barred = torch.full_like(steps, -torch.inf)
        barred[inside, inside], barred[begin, inside] = steps[inside, inside], steps[begin, inside]
        steps = steps.index_copy(1, inside, barred[:, inside])
        torn = packed.torn.clone()
        torn[:, 0] = True
        scores[:, :, inside] = scores[:, :, inside].masked_fill(torn[:, :, None], -torch.inf)
        tags = torch.cat(
            [
                _find_best(part, kept, (steps, first, last), (inside, begin))
                for part, kept in _split_rows(scores, packed.mask)
            ]
        )
        chances = _find_chances(scores, packed.mask, tags, (steps, first, last))
        values = torch.full_like(tags, rules.outside).scatter(1, packed.order, tags)
        sure = torch.ones_like(chances).scatter(1, packed.order, chances)
        return torch.where(mask, values, rules.outside), torch.where(mask, sure, 1.0)


def pack(mask: Tensor) -> Packed:
    """Where the kept words stand once those left out have gone, (B, W)."""
    order = torch.argsort((~mask).to(torch.int8), dim=1, stable=True)
    kept = mask.gather(1, order)
    torn = torch.zeros_like(kept)
    torn[:, 1:] = kept[:, 1:] & (order[:, 1:] != order[:, :-1] + 1)
    return Packed(order, kept, torn)


def _take(logits: Tensor, packed: Packed) -> Tensor:
    return logits.gather(1, packed.order[:, :, None].expand(-1, -1, logits.shape[2]))


def _split_rows(scores: Tensor, mask: Tensor) -> list[tuple[Tensor, Tensor]]:
    size = max(1, MOST_STEPS // max(scores.shape[2] ** 2, 1))
    return list(zip(scores.split(size), mask.split(size), strict=True))


def _walk(scores: Tensor, mask: Tensor, steps: Tensor, first: Tensor) -> list[Tensor]:
    """For each word, log of the sum over the paths up to each of its tags, W times (B, K); past a row's end, its last.

    exp of scores below their largest, then a product, then log: the same sum as of exp of every single step, at the
    cost of one matrix product. What is subtracted does not change the sum, so no gradient goes through it.
    """
    largest = steps.detach().amax(0)
    weights = (steps - largest).exp()
    tiny = torch.finfo(scores.dtype).tiny if scores.requires_grad or steps.requires_grad else 0.0
    reached = [first + scores[:, 0]]
    for word in range(1, scores.shape[1]):
        before = reached[-1]
        top = before.detach().amax(1, keepdim=True)
        summed = ((before - top).exp() @ weights).clamp(min=tiny).log()
        after = summed + top + largest + scores[:, word]
        reached.append(torch.where(mask[:, word, None], after, before))
    return reached


def _find_best(scores: Tensor, mask: Tensor, model: tuple[Tensor, Tensor, Tensor], limits: tuple[Tensor, Tensor]):
    """Viterbi: the tags of the best path, (B, W) int64; past a row's end, its last tag again.

    A tag so far behind the best one that no step makes up for it leads to no free tag's best path: only the others are
    weighed. `limits`: the I- tags, which are reached from two tags only, and their B- tags.
    """
    steps, first, last = model
    inside, begin = limits
    free = torch.ones(len(steps), dtype=torch.bool, device=steps.device)
    free[inside] = False
    spread = steps[:, free].max() - steps[:, free].min()
    best = [first + scores[:, 0]]
    for word in range(1, scores.shape[1]):
        before = best[-1]
        near = (before >= before.amax(1, keepdim=True) - spread).sum(1)
        highest, places = before.topk(int(near.max()), 1)
        after = (highest[:, :, None] + steps[places]).amax(1)
        after[:, inside] = torch.maximum(
            before[:, inside] + steps[inside, inside], before[:, begin] + steps[begin, inside]
        )
        best.append(torch.where(mask[:, word, None], after + scores[:, word], before))
    tags = [(best[-1] + last).argmax(1)]
    into = steps.T.contiguous()
    for word in range(scores.shape[1] - 1, 0, -1):
        # Which tag came before matters for the chosen one only: it is found on the way back.
        before = (best[word - 1] + into[tags[-1]]).argmax(1)
        tags.append(torch.where(mask[:, word], before, tags[-1]))
    return torch.stack(tags[::-1], 1)


def _find_chances(scores: Tensor, mask: Tensor, tags: Tensor, model: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """The probability of each of the given tags, (B, W), by the forward-backward algorithm."""
    steps, first, last = model
    ahead = torch.stack(_walk(scores, mask, steps, first), 1)
    largest = steps.amax(1)
    weights = (steps - largest[:, None]).exp().T
    behind = [last.expand(len(scores), -1)]
    for word in range(scores.shape[1] - 1, 0, -1):
        here = behind[-1] + scores[:, word]
        top = here.amax(1, keepdim=True)
        summed = ((here - top).exp() @ weights).log() + top + largest
        behind.append(torch.where(mask[:, word, None], summed, behind[-1]))
    through = ahead + torch.stack(behind[::-1], 1)
    total = torch.logsumexp(through[:, 0], 1)
    chosen = through.gather(2, tags[:, :, None])[:, :, 0]
    return (chosen - total[:, None]).exp().clamp(max=1.0)
