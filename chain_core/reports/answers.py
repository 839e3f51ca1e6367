"""Answers held against right ones, as SQuAD's own script does (Rajpurkar et al. 2016, 2018).

Case, ASCII punctuation, the English articles and superfluous white space do not count. Of several right answers the
best counts; no answer is right where there is none. Chinese and Japanese characters are words of their own, as in
CMRC 2018: in English nothing changes by it.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_WIDE = re.compile(r"([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])")


def normalise_answer(text: str) -> str:
    """What of an answer counts: `The  Eiffel Tower!` -> `eiffel tower`."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def is_answer(gold: Sequence[str], predicted: str) -> bool:
    """Whether an answer is one of the right ones; where there is none, whether it is empty."""
    said = normalise_answer(predicted)
    return said in {normalise_answer(answer) for answer in gold} if gold else not said


def score_answer(gold: Sequence[str], predicted: str) -> float:
    """The best F1 over words with any of the right answers, in [0, 1]."""
    return max((_score(answer, predicted) for answer in gold or [""]), default=0.0)


def _score(gold: str, predicted: str) -> float:
    right, said = (_WIDE.sub(r" \1 ", normalise_answer(text)).split() for text in (gold, predicted))
    if not right or not said:
        return float(right == said)
    same = sum((Counter(right) & Counter(said)).values())
    return 2 * same / (len(right) + len(said))
