"""The two catalogues: the same keys, the same fields, every key that the code uses and none that it does not."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from chain_core.messages import LANGUAGES, load_catalogue, render

ROOT = Path(__file__).resolve().parent.parent
SOURCES = [ROOT / "app.py", *(ROOT / "pages").glob("*.py"), *(ROOT / "chain_core").rglob("*.py")]
FIELD = re.compile(r"\{(\w+)(?:\|([^|{}]*)\|([^|{}]*))?\}")
KEY = re.compile(r"[a-z]+\.[a-z0-9_.@-]+")
ERRORS = {"ChainError", "ConfigError", "DataError", "BackboneError", "RunError", "ResourceError", "build_problem"}
NOTES = {"build_note"}
CHINESE = re.compile(r"[\u4e00-\u9fff]")
SAME_IN_BOTH = re.compile(
    r"([\W\d]|/?(\w+/)+[\w.]+|(rs|Ada)?LoRA( alpha)?|DoRA|IA3|fp32|bf16|fp16|AdamW|Muon"
    r"|TensorBoard|W&B|MLflow|YAML|CSV|TSV|Parquet|HTML|JSON|CoNLL|GPU|F1|R²)*"
)
"""Signs, paths and the names of formats."""


@cache
def list_strings() -> tuple[frozenset[str], tuple[re.Pattern[str], ...]]:
    """All string literals of the code, and f-strings as patterns whose fields match anything."""
    plain: set[str] = set()
    patterns: set[str] = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                plain.add(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = [
                    re.escape(part.value) if isinstance(part, ast.Constant) else r"[\w.@-]+" for part in node.values
                ]
                patterns.add("".join(str(part) for part in parts))
    return frozenset(plain), tuple(re.compile(pattern) for pattern in sorted(patterns) if "\\." in pattern)


@cache
def list_codes(names: frozenset[str]) -> dict[str, str]:
    """Code -> file, of every literal first argument of a call to one of `names`."""
    found: dict[str, str] = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and _name(node.func) in names:
                for code in _list_choices(node.args[0]):
                    found[code] = str(path.relative_to(ROOT))
    return found


def _list_choices(node: ast.expr) -> list[str]:
    """The literal values of `"a"` and of `"a" if … else "b"`."""
    if isinstance(node, ast.IfExp):
        return [*_list_choices(node.body), *_list_choices(node.orelse)]
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def test_both_languages_have_the_same_keys() -> None:
    first, second = (set(load_catalogue(language)) for language in LANGUAGES)
    assert first ^ second == set()


@pytest.mark.parametrize("key", sorted(load_catalogue("en")))
def test_both_languages_fill_the_same_fields(key: str) -> None:
    fields = {language: {match[0] for match in FIELD.findall(load_catalogue(language)[key])} for language in LANGUAGES}
    chosen = {match[0] for match in FIELD.findall(load_catalogue("en")[key]) if match[1] or match[2]}
    # A number that English only chooses a plural by, Chinese may leave out.
    assert fields["zh"] <= fields["en"]
    assert fields["en"] - fields["zh"] <= chosen


def test_chinese_is_chinese() -> None:
    english = load_catalogue("en")
    left = [
        key
        for key, sentence in load_catalogue("zh").items()
        if not CHINESE.search(sentence)
        and not SAME_IN_BOTH.fullmatch(FIELD.sub("", sentence))
        and sentence == english[key]
    ]
    assert left == []


def test_every_sentence_is_finished() -> None:
    for language in LANGUAGES:
        for key, sentence in load_catalogue(language).items():
            assert sentence == sentence.strip() != "", key
            if key.startswith(("errors.", "notes.")):
                assert sentence[-1] in ".。!?？！…)）:：}", (language, key)


@pytest.mark.parametrize(
    ("key", "params", "words"),
    [
        ("notes.answers_not_found", {"count": 1}, "1 row of “{column}” has an answer"),
        ("notes.answers_not_found", {"count": 1}, "it is scored, but nothing is learned from it."),
        ("notes.spans_cut", {"rows": 1}, "in 1 row what is asked for stands beyond"),
        ("notes.spans_cut", {"rows": 1}, "nothing is learned from it."),
        ("notes.memory_short", {"parts": 2, "rows": 1}, "2 parts of up to 1 row."),
        ("notes.start_labels", {"known": 0, "labels": 1}, "0 of its 1 label from"),
        ("errors.device_memory", {"batch_size": 1}, "at 1 row a batch"),
        ("data.without_o", {"count": 1}, "O, 1 time"),
    ],
)
def test_one_is_no_plural(key: str, params: dict[str, int], words: str) -> None:
    assert re.search(rf"{re.escape(words)}(?!\w)", render(key, "en", **params))
    assert words not in render(key, "en", **dict.fromkeys(params, 2))


def test_every_error_has_its_sentence() -> None:
    codes = list_codes(frozenset(ERRORS))
    assert {code: path for code, path in codes.items() if f"errors.{code}" not in load_catalogue("en")} == {}


def test_every_note_has_its_sentence() -> None:
    codes = list_codes(frozenset(NOTES))
    assert {code: path for code, path in codes.items() if f"notes.{code}" not in load_catalogue("en")} == {}


def test_every_key_that_the_code_names_exists() -> None:
    catalogue = load_catalogue("en")
    missing = []
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and _name(node.func) in ("t", "render", "translate") and node.args):
                continue
            key = node.args[0]
            missing += [(path.name, choice) for choice in _list_choices(key) if choice not in catalogue]
            if isinstance(key, ast.JoinedStr):
                parts = [re.escape(part.value) if isinstance(part, ast.Constant) else ".+" for part in key.values]
                pattern = re.compile("".join(str(part) for part in parts))
                if not any(pattern.fullmatch(known) for known in catalogue):
                    missing.append((path.name, pattern.pattern))
        missing += [(path.name, key) for key in _list_keys_passed_on(tree, path) if key not in catalogue]
    assert missing == []


def _list_keys_passed_on(tree: ast.AST, path: Path) -> list[str]:
    """Literals of the Chain page, whose fields take keys, that look like one and are no widget's own key."""
    if not path.name.startswith("chain_"):
        return []
    sections = {"chain", "shell"}
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    others = {
        id(keyword.value) for node in ast.walk(tree) if isinstance(node, ast.Call)
        for keyword in node.keywords if keyword.arg in ("prefix", "key", "file_name")
    }  # fmt: skip
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in inside | others
        and KEY.fullmatch(node.value)
        and node.value.split(".")[0] in sections
        and not node.value.endswith((".yaml", ".css", ".py", ".csv", ".html", ".parquet"))
    ]


def test_no_key_is_left_over() -> None:
    """A key is used where the code holds it, its prefix with an underscore, its code, or an f-string that fits it."""
    plain, patterns = list_strings()
    unused = []
    for key in load_catalogue("en"):
        section, _, rest = key.partition(".")
        if key in plain or any(pattern.fullmatch(key) for pattern in patterns):
            continue
        if section in ("errors", "notes") and rest in plain:
            continue
        heads = [key[:index] for index, character in enumerate(key) if character in "_."]
        if any(head in plain and "." in head for head in heads):
            continue
        unused.append(key)
    assert unused == []
