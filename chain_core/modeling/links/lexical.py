"""The lexical tap: what the eye sees of a word before it reads, which a subword backbone has lost.

Each piece brings the buckets of its word's shape, its whole form, and its prefixes and suffixes (made in
`data.encode`). Their embeddings are summed and projected to the chain's width. Sparse hashed features in the manner of
Weinberger et al. 2009 (arXiv 0902.2206); word shapes as in Ratinov and Roth 2009.
"""

from __future__ import annotations

from torch import Tensor, nn

from chain_core.data.encode import LEXICAL_BUCKETS
from chain_core.modeling.dropout import Dropout
from chain_core.modeling.links.sizes import LEXICAL_WIDTH


class LexicalTap(nn.Module):
    """(B, T, F) buckets, 0 for none -> (B, T, D). Starts at zero, so it never harms link 1 at first."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(LEXICAL_BUCKETS, LEXICAL_WIDTH, padding_idx=0)
        self.dropout = Dropout(dropout)
        self.project = nn.Linear(LEXICAL_WIDTH, width)
        nn.init.normal_(self.embedding.weight, std=0.3)
        nn.init.zeros_(self.embedding.weight[0])
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(self, buckets: Tensor) -> Tensor:
        return self.project(self.dropout(self.embedding(buckets).sum(2)))
