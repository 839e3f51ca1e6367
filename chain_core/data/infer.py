"""What the columns of a table are, guessed from their cells first and their names second."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chain_core.data.cells import combine, find_missing, is_list, split_lists, to_lists
from chain_core.data.labels import SEPARATORS, find_separator, has_scheme
from chain_core.data.readers import SPLIT
from chain_core.data.splits import name_split
from chain_core.data.task import KINDS, Column

SAMPLE_ROWS = 20_000
MOST_LABELS = 1000
MARKED = "marked"
"""Note of a text whose rows each mark two spans: its labels are relations between them."""
_TEXT_NAMES = ("text", "sentence", "review", "content", "utterance", "question", "document", "body",
               "message", "comment", "premise", "query", "文本", "内容", "句子", "评论")  # fmt: skip
_TOKEN_NAMES = ("token", "word", "分词")
_SCORE_NAMES = ("score", "similarity", "value", "price", "分数", "评分", "得分")
_ID_NAMES = ("id", "idx", "index", "uuid", "guid", "unnamed: 0", "column_1")
_PAIRS = (("sentence1", "sentence2"), ("sentence_1", "sentence_2"), ("text1", "text2"),
          ("text_a", "text_b"), ("premise", "hypothesis"), ("question1", "question2"),
          ("question", "answer"), ("question", "sentence"),
          ("question", "context"), ("query", "passage"), ("query", "document"),
          ("title", "text"))  # fmt: skip


@dataclass(frozen=True)
class _Facts:
    """Of a sample of one column's cells that are not missing."""

    name: str
    type: str
    cells: pa.Array
    distinct: int
    words: float
    """Mean number of words a cell, or of items a list."""
    length: float
    """Mean characters a cell."""

    @property
    def repeats(self) -> float:
        """How often a value occurs, on average."""
        return len(self.cells) / max(self.distinct, 1)

    def is_named(self, names: Sequence[str]) -> bool:
        return any(name in self.name.lower() for name in names)


def infer_columns(table: pa.Table) -> tuple[Column, ...]:
    """A role for each column. At most one text or tokens column is chosen; what is unclear is ignored."""
    sample = _take_sample(table)
    facts = [_find_facts(name, combine(sample[name])) for name in sample.column_names]
    columns = {fact.name: _infer_column(fact) for fact in facts}
    _choose_tokens(facts, columns, sample)
    _choose_text(facts, columns)
    return tuple(columns[fact.name] for fact in facts)


def suggest_config(columns: Sequence[Column]) -> dict[str, Any]:
    """The config's `input`, `heads` and `data.split` that the columns' roles stand for; only what applies."""
    by_role = {role: [column.name for column in columns if column.role == role] for role in ("text", "pair", "tokens")}
    config: dict[str, Any] = {}
    if by_role["tokens"]:
        config["input"] = {"tokens": by_role["tokens"][0]}
    elif by_role["text"]:
        config["input"] = {"text": by_role["text"][0]}
        if by_role["pair"]:
            config["input"]["pair"] = by_role["pair"][0]
    heads: dict[str, dict[str, str]] = {}
    marked = any(column.note == MARKED for column in columns)
    for column in columns:
        if column.role in KINDS and not (column.role == "tags" and not by_role["tokens"]):
            kind = "relation" if marked and column.role == "label" else KINDS[column.role]
            heads[_name_head(column.name, heads)] = {"kind": kind, "column": column.name}
    if heads:
        config["heads"] = heads
    for column in columns:
        if column.role == "split" and column.name != SPLIT:
            config["data"] = {"split": column.name}
    return config


def _take_sample(table: pa.Table) -> pa.Table:
    if table.num_rows <= SAMPLE_ROWS:
        return table
    rows = np.linspace(0, table.num_rows - 1, SAMPLE_ROWS).astype(np.int64)
    return table.take(rows)


def _find_facts(name: str, array: pa.Array) -> _Facts:
    cells = array.filter(pa.array(~find_missing(array)))
    if is_list(cells.type):
        items, offsets = split_lists(cells)
        words = float(np.diff(offsets).mean()) if len(cells) else 0.0
        return _Facts(name, "list" if len(cells) else "empty", cells, pc.count_distinct(items).as_py(), words, 0.0)
    if not len(cells):
        return _Facts(name, "empty", cells, 0, 0.0, 0.0)
    trimmed = pc.utf8_trim_whitespace(cells)
    words = pc.mean(pc.list_value_length(pc.utf8_split_whitespace(trimmed))).as_py()
    length = pc.mean(pc.utf8_length(trimmed)).as_py()
    return _Facts(name, _find_type(trimmed), trimmed, pc.count_distinct(trimmed).as_py(), words, length)


def _find_type(cells: pa.Array) -> str:
    if pc.all(pc.is_in(pc.utf8_lower(cells), value_set=pa.array(["true", "false"], cells.type))).as_py():
        return "boolean"
    number = pc.match_substring_regex(cells, r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
    return "number" if pc.all(number).as_py() else "text"


def _infer_column(fact: _Facts) -> Column:
    """A column's role by itself; which of several texts is read is chosen afterwards."""
    role, note = _infer_role(fact)
    return Column(fact.name, role, fact.type, note)


def _infer_role(fact: _Facts) -> tuple[str, str]:
    if fact.name == SPLIT:
        return "split", ""
    if fact.type == "empty":
        return "ignore", "empty"
    if fact.type == "list":
        return ("tags", "") if has_scheme(_list_values(fact.cells)) else ("labels", "")
    if _is_split(fact):
        return "split", ""
    if _is_tag_text(fact):
        return "tags", ""
    if fact.type == "number":
        return _infer_number(fact)
    if fact.distinct == 1 and len(fact.cells) > 1:
        return "ignore", "constant"
    if _is_label(fact):
        return "label", ""
    if separator := _find_label_separator(fact):
        return "labels", "separator_comma" if separator == "," else ""
    if _is_id(fact):
        return "ignore", "id"
    return "text", ""


def _infer_number(fact: _Facts) -> tuple[str, str]:
    whole = pc.all(pc.match_substring_regex(fact.cells, r"^[+-]?\d+(\.0*)?$")).as_py()
    if fact.distinct == 1 and len(fact.cells) > 1:
        return "ignore", "constant"
    if fact.is_named(_SCORE_NAMES) and fact.distinct > 2:
        return "score", ""
    if whole and fact.distinct == len(fact.cells) and (len(fact.cells) > 20 or fact.name.lower() in _ID_NAMES):
        return "ignore", "id"
    if whole and fact.distinct <= 50 and fact.repeats >= 2:
        return "label", ""
    return ("score", "") if not whole or fact.repeats < 50 or fact.distinct > 50 else ("label", "")


def _is_split(fact: _Facts) -> bool:
    """Few different values, all of them names of splits, and more than one of them."""
    if fact.type != "text" or fact.distinct > 10:
        return False
    names = [name_split(value) for value in pc.unique(fact.cells).to_pylist()]
    return None not in names and len(set(names)) > 1


def _is_tag_text(fact: _Facts) -> bool:
    """Tags separated by spaces."""
    if fact.words < 1.5 or not pc.mean(pc.match_substring_regex(fact.cells, r"^(O|[BIESLU]-\S)")).as_py() > 0.99:
        return False
    return has_scheme(pc.unique(pc.utf8_split_whitespace(fact.cells).flatten()).to_pylist())


def _is_label(fact: _Facts) -> bool:
    """Values that recur: not free text, and no identifier."""
    if fact.type == "boolean":
        return True
    short = fact.length <= 40 and fact.words <= 5
    enough = fact.repeats >= 3 or (fact.repeats >= 1.5 and len(fact.cells) < 100)
    if not (short and enough and fact.distinct <= MOST_LABELS) or fact.is_named(_TEXT_NAMES[:1]):
        return False
    combined = _find_label_separator(fact)
    return combined is None


def _find_label_separator(fact: _Facts) -> str | None:
    """The separator where cells hold several short labels that recur."""
    separator = find_separator(fact.cells)
    if separator is None or fact.length > 80:
        return None
    parts = pc.utf8_trim_whitespace(pc.split_pattern(fact.cells, separator).flatten())
    distinct = pc.count_distinct(parts).as_py()
    words = pc.mean(pc.list_value_length(pc.utf8_split_whitespace(parts))).as_py()
    return separator if words <= 3 and distinct <= MOST_LABELS and len(parts) >= 3 * distinct else None


def _is_id(fact: _Facts) -> bool:
    """Every cell another one, in letters, digits and dashes of ASCII without spaces."""
    if fact.distinct < 0.95 * len(fact.cells) or fact.length > 64 or len(fact.cells) < 5:
        return False
    plain = pc.all(pc.match_substring_regex(fact.cells, r"^[A-Za-z0-9_.:/-]+$")).as_py()
    digits = pc.mean(pc.match_substring_regex(fact.cells, r"\d")).as_py()
    return plain and (digits > 0.9 or fact.name.lower() in _ID_NAMES)


def _list_values(cells: pa.Array) -> list[str]:
    return [value for value in pc.unique(split_lists(cells)[0]).to_pylist() if value]


def _choose_tokens(facts: list[_Facts], columns: dict[str, Column], sample: pa.Table) -> None:
    """Tags need tokens: the list or text with as many words in each row; lists beside it are tags too."""
    candidates = [fact for fact in facts if columns[fact.name].role in ("text", "label", "labels")]
    lists = [fact for fact in candidates if fact.type == "list"]
    tags = [fact for fact in facts if columns[fact.name].role == "tags"]
    if tags:
        fitting = [fact for fact in candidates if _have_same_lengths(sample, fact.name, tags[0].name)]
    else:
        fitting = [fact for fact in lists if fact.is_named(_TOKEN_NAMES) or fact.repeats < 3]
    if not fitting:
        return
    named = [fact for fact in fitting if fact.is_named(_TOKEN_NAMES)]
    tokens = max(named or fitting, key=lambda fact: (fact.type == "list", fact.distinct))
    columns[tokens.name] = replace(columns[tokens.name], role="tokens", note="")
    for fact in lists:
        if fact is not tokens and _have_same_lengths(sample, fact.name, tokens.name):
            role = "tags" if fact.distinct <= MOST_LABELS and fact.distinct < tokens.distinct else "ignore"
            columns[fact.name] = replace(columns[fact.name], role=role)


def _have_same_lengths(sample: pa.Table, one: str, other: str) -> bool:
    lengths = [np.diff(split_lists(to_lists(combine(sample[name])))[1]) for name in (one, other)]
    both = (lengths[0] > 0) & (lengths[1] > 0)
    return bool(both.any()) and float((lengths[0] == lengths[1])[both].mean()) > 0.9


def _choose_text(facts: list[_Facts], columns: dict[str, Column]) -> None:
    """One text, and its pair where two names belong together; the rest is ignored."""
    texts = [fact for fact in facts if columns[fact.name].role == "text"]
    if any(column.role == "tokens" for column in columns.values()):
        for fact in texts:
            columns[fact.name] = replace(columns[fact.name], role="ignore", note="tokens_instead")
        return
    if not texts:
        texts = [fact for fact in facts if columns[fact.name].role == "label" and fact.type == "text" and
                 fact.is_named(_TEXT_NAMES)][:1]  # fmt: skip
    if not texts:
        return
    names = {fact.name.lower(): fact.name for fact in texts}
    pair = next(((names[a], names[b]) for a, b in _PAIRS if a in names and b in names), None)
    first = pair[0] if pair else max(texts, key=_rank_text).name
    for fact in texts:
        role, note = "ignore", "other_text"
        if fact.name == first:
            role, note = "text", MARKED if _is_marked(fact) else ""
        elif pair and fact.name == pair[1]:
            role, note = "pair", ""
        columns[fact.name] = replace(columns[fact.name], role=role, note=note)


def _rank_text(fact: _Facts) -> tuple[bool, float]:
    return fact.is_named(_TEXT_NAMES), fact.length


def _is_marked(fact: _Facts) -> bool:
    """Whether two spans are marked in every cell: no other text has such marks."""
    marks = r"(?s)<e1>.*</e1>.*<e2>.*</e2>|<e2>.*</e2>.*<e1>.*</e1>"
    return pc.all(pc.match_substring_regex(fact.cells, marks)).as_py()


def _name_head(column: str, taken: dict[str, Any]) -> str:
    base = re.sub(r"[\s/@:|]+", "_", column).strip("_")[:60] or "head"
    base = "joint_" if base == "joint" else base
    name, count = base, 1
    while name in taken:
        count += 1
        name = f"{base}_{count}"
    return name


__all__ = ["SEPARATORS", "infer_columns", "suggest_config"]
