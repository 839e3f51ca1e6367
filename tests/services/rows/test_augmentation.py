"""Changed copies as train rows of a run; translation there and back through models of a folder."""

from __future__ import annotations

import json
import shutil
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml

from chain_core.config import AugmentConfig, resolve_config
from chain_core.data.labels import encode_labels
from chain_core.data.rows import join_gold
from chain_core.data.words import split_words
from chain_core.errors import BackboneError, DataError
from chain_core.modeling.backbones import translation
from chain_core.modeling.backbones.translation import translate, translate_back
from chain_core.modeling.backbones.translators import Route, build_routes
from chain_core.reports.predictions import load_predictions
from chain_core.services.cache import list_items
from chain_core.services.drafts.checks import inspect_draft
from chain_core.services.rows.prepare import prepare_run
from chain_core.services.runs.execute import execute_run
from chain_core.training.control import Paused
from tests.tiny import build_commands, save_tiny_m2m, save_tiny_marian, save_tiny_translator, write_rows

HEADS = {
    "intent": {"kind": "classification", "column": "intent"},
    "slots": {"kind": "tagging", "column": "slots"},
    "topics": {"kind": "multilabel", "column": "topics"},
    "score": {"kind": "regression", "column": "score"},
}
CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path):
    write_rows(tmp_path / "train.jsonl", build_commands())
    write_rows(tmp_path / "test.jsonl", build_commands(30))
    return tmp_path


def build_mapping(model, /, **sections):
    return {
        "data": {"train": "train.jsonl", "validation": 0.2, "test": "test.jsonl"},
        "input": {"tokens": "tokens"},
        "backbone": {"name": str(model)},
        "chain": {"depth": 1, "width": 16},
        "heads": HEADS,
        "train": {"epochs": 1},
        **sections,
    }


def prepare(folder, model, /, **sections):
    material = prepare_run(resolve_config(build_mapping(model, **sections)), folder)
    (part,) = material.sets
    return SimpleNamespace(
        table=part.table, texts=part.texts, splits=part.splits, notes=material.notes, config=material.config
    )


@pytest.fixture(scope="session")
def translator(tmp_path_factory):
    return save_tiny_translator(tmp_path_factory.mktemp("translator") / "t5")


def test_copies_join_the_train_rows_alone(folder, backbone):
    plain = prepare(folder, backbone)
    material = prepare(folder, backbone, augment={"copies": 3, "delete": 0.3, "swap": 0.3})
    count = plain.table.num_rows
    for split in ("validation", "test"):
        np.testing.assert_array_equal(plain.splits[split], material.splits[split])
    train = material.splits["train"]
    np.testing.assert_array_equal(train[: len(plain.splits["train"])], plain.splits["train"])
    added = train[len(plain.splits["train"]) :]
    assert added.tolist() == list(range(count, material.table.num_rows))
    assert 0.8 < len(added) / (3 * len(plain.splits["train"])) <= 1
    assert material.texts.first.slice(0, count).equals(plain.texts.first)
    assert plain.texts.files.tolist() == [0] * 120 + [1] * 30
    assert material.texts.files.tolist() == [*plain.texts.files, *([-1] * len(added))], "copies follow nothing"
    assert material.table.column_names == plain.table.column_names
    assert {note["code"] for note in material.notes} >= {"rows_augmented"}


def test_labels_of_a_copy_are_its_rows(folder, backbone):
    material = prepare(folder, backbone, augment={"copies": 1, "delete": 0, "swap": 0.4, "replace": 0})
    rows = material.table.to_pylist()
    known = {tuple(sorted(row["tokens"])): row for row in rows[:120]}
    kinds = {**dict.fromkeys(("red", "green", "warm", "light"), "colour"), "kitchen": "place", "hall": "place"}
    for row in rows[150:]:
        own = known[tuple(sorted(row["tokens"]))]
        assert row["topics"] == own["topics"]
        assert row["text"] in {other["text"] for other in rows[:150]}, "columns that are not read stay"
        for word, tag in zip(row["tokens"], row["slots"] or [], strict=bool(row["slots"])):
            assert tag.partition("-")[2] == kinds.get(word, "")


def test_synonyms_beside_the_file(folder, backbone):
    (folder / "same.txt").write_text("light, lamp\nkitchen, galley\n")
    settings = {"copies": 1, "delete": 0, "swap": 0, "replace": 1, "synonyms": "same.txt"}
    material = prepare(folder, backbone, augment=settings)
    assert material.config.augment.synonyms == str(folder / "same.txt")
    added = material.table.slice(150).to_pylist()
    assert len(added) == len(material.splits["train"]) / 2
    assert all("lamp" in row["tokens"] and "light" not in row["tokens"] for row in added)


def test_neighbours_come_from_the_backbone(folder, backbone):
    material = prepare(folder, backbone, augment={"copies": 1, "delete": 0, "swap": 0, "replace": 1, "neighbours": 1})
    words = {word for row in material.table.slice(150).to_pylist() for word in row["tokens"]}
    assert words - {word for row in build_commands() for word in row["tokens"]}


def test_missing_synonyms_stop_a_run(folder, backbone):
    with pytest.raises(DataError, match="none") as caught:
        prepare(folder, backbone, augment={"copies": 1, "synonyms": "none.txt"})
    assert caught.value.code == "synonyms_missing"


def test_a_run_with_copies_reports_its_own_rows(folder, backbone):
    config = resolve_config(build_mapping(backbone, augment={"copies": 2}, train={"epochs": 2}))
    events = []
    report = execute_run(config, folder / "run", folder=folder, emit=events.append)
    assert set(report) >= {"test", "validation"}
    predictions = load_predictions(folder / "run" / "predictions" / "test.parquet")
    assert predictions.table["tokens"].to_pylist() == [row["tokens"] for row in build_commands(30)]
    written = yaml.safe_load((folder / "run" / "config.yaml").read_text())
    again = execute_run(resolve_config(written), folder / "again", folder=folder / "run", emit=lambda event: None)
    assert again["test"] == report["test"]


def test_translation_is_greedy_and_in_order(translator):
    texts = ["turn on the light", "", "stop", "play music in the warm kitchen"]
    first = translate(texts, Route(translator), CPU)
    assert first[1] == ""
    assert first == translate(texts, Route(translator), CPU)
    assert first[3] == translate([texts[3]], Route(translator), CPU)[0]
    assert translate_back(texts, (Route(translator), Route(translator)), CPU) == translate(
        first, Route(translator), CPU
    )


@pytest.fixture
def loaded(monkeypatch):
    """The folders of the models that were loaded."""
    folders = []
    load = translation._load
    monkeypatch.setattr(translation, "_load", lambda folder: [folders.append(folder), load(folder)][1])
    return folders


def test_what_was_translated_is_read_again(translator, loaded):
    texts = [f"turn on light {number}" for number in range(70)]
    whole = translate(texts, Route(translator), CPU)
    assert translate(texts, Route(translator), CPU) == whole
    assert len(loaded) == 1
    assert translate(texts[:40], Route(translator), CPU) == whole[:40]
    assert len(loaded) == 2, "other texts are an entry of their own"


@pytest.mark.parametrize("torn", [b"", b'"half a li', b"\0\0\0\n", b'"one more"\n'])
def test_a_translation_that_was_broken_off_goes_on(translator, home, torn):
    texts = [f"turn on light {number}" for number in range(70)]
    seen = []

    def progress(done, total):
        seen.append(done)
        if done == 64 and 70 not in seen:
            raise Paused

    with pytest.raises(Paused):
        translate(texts, Route(translator), CPU, progress)
    (file,) = home.glob("translations/*/texts.jsonl")
    with file.open("ab") as kept:
        kept.write(torn)
    seen[:] = [70]
    whole = translate(texts, Route(translator), CPU, progress)
    assert seen == [70, 64, 70], "two batches were there"
    file.unlink()
    assert translate(texts, Route(translator), CPU) == whole


def test_a_run_tells_how_far_it_has_translated(folder, backbone, translator):
    write_rows(
        folder / "train.jsonl", [{"a": f"turn on light {number}", "y": "xy"[number % 2]} for number in range(60)]
    )
    mapping = build_mapping(
        backbone, data={"train": "train.jsonl", "validation": 0.2}, input={"text": "a"},
        heads={"y": {"kind": "classification", "column": "y"}},
        augment={"copies": 1, "back_translation": [str(translator), str(translator)]},
    )  # fmt: skip
    events = []
    prepare_run(resolve_config(mapping), folder, tell=events.append)
    assert events[0] == {"kind": "phase", "phase": "translating"}
    assert events[-1] == {"kind": "progress", "phase": "translating", "done": 96, "total": 96}
    there, *_ = sorted(list_items(), key=lambda item: item.used)
    assert (there.kind, there.backbone, there.data, there.rows) == ("translations", "t5", folder.name, 48)

    def pause():
        raise Paused

    with pytest.raises(Paused):
        prepare_run(resolve_config(mapping), folder, pause)


def test_the_first_copy_is_translated_where_no_tags_are(folder, backbone, translator):
    settings = {"copies": 2, "delete": 0.3, "back_translation": [str(translator), str(translator)]}
    material = prepare(folder, backbone, augment=settings)
    notes = {note["code"]: note["params"] for note in material.notes}
    train = material.splits["train"][material.splits["train"] < 150]
    rows = material.table.to_pylist()
    tagged = [row for row in train if rows[row]["slots"]]
    assert notes["rows_not_translated"]["rows"] == len(tagged)
    first = rows[150]
    assert not first["slots"]
    assert first["tokens"] in [split_words(text) for text in translate_whole(rows, train, translator)]
    assert all(row["tokens"] for row in rows[150:])


def translate_whole(rows, train, translator):
    texts = [" ".join(rows[row]["tokens"]) for row in train if not rows[row]["slots"]]
    return translate_back(texts, (Route(translator), Route(translator)), CPU)


def test_texts_and_pairs_are_translated(folder, backbone, translator):
    rows = [{"a": f"turn on the light {number}", "b": "stop the music", "y": "xyz"[number % 3]} for number in range(30)]
    write_rows(folder / "train.jsonl", rows)
    sections = {
        "data": {"train": "train.jsonl", "validation": 0.2},
        "heads": {"y": {"kind": "classification", "column": "y"}},
        "augment": {"copies": 1, "back_translation": [str(translator), str(translator)]},
    }
    material = prepare(folder, backbone, **sections, input={"text": "a", "pair": "b"})
    expected = translate_back(["stop the music"], (Route(translator), Route(translator)), CPU)
    assert set(material.texts.second.to_pylist()[30:]) == set(expected)
    assert material.table["b"].to_pylist()[30:] == material.texts.second.to_pylist()[30:]
    material = prepare(folder, backbone, **sections, input={"text": "a"})
    assert len(material.texts) == 30 + len(material.splits["train"]) // 2


def test_unfit_translators_are_named(folder, translator, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    with pytest.raises(BackboneError, match="broken") as caught:
        translate(["a"], Route(broken), CPU)
    assert caught.value.code == "translation_missing"
    assert find_codes(folder, broken) == {"translation_missing"}
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (broken / name).write_bytes((translator / name).read_bytes())
    (broken / "model.safetensors").write_bytes(b"no")
    with pytest.raises(BackboneError) as caught:
        translate(["a"], Route(broken), CPU)
    assert caught.value.code == "translation_unreadable"


def find_codes(folder, translator, **told):
    """What the Chain page says of a model before there is a run."""
    augment = {"copies": 1, "back_translation": [str(translator)] * 2, **told}
    draft = {"data": {"train": "train.jsonl"}, "augment": augment}
    problems = inspect_draft(draft, folder, None).problems
    return {problem.error.code for problem in problems if problem.path == "augment.back_translation"}


PREFIX = {"model_type": "t5", "task_specific_params": {"translation_en_to_de": {"prefix": "translate to German: "}}}
CODES = {"src_lang": "eng_Latn"}
GERMAN = {"forced_bos_token_id": 9}


@pytest.mark.parametrize(
    ("config", "tokenizer", "generation", "settled"),
    [
        ({"model_type": "m2m_100"}, {}, GERMAN, False),
        ({"model_type": "m2m_100"}, {"src_lang": None}, GERMAN, False), ({"model_type": "mbart"}, CODES, {}, False),
        ({"model_type": "some"}, CODES, {}, False), ({"model_type": "m2m_100"}, CODES, GERMAN, True),
        ({"model_type": "marian"}, {"source_lang": "en", "target_lang": "de"}, {}, True),
    ],
    ids=str,
)  # fmt: skip
def test_a_model_of_many_languages_must_know_which(folder, config, tokenizer, generation, settled):
    model = folder / "model"
    model.mkdir()
    (model / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    files = {"config.json": config, "tokenizer_config.json": tokenizer, "generation_config.json": generation}
    for name, content in files.items():
        (model / name).write_text(json.dumps(content))
    assert find_codes(folder, model) == (set() if settled else {"translation_languages"})
    assert find_codes(folder, model, languages=["eng_Latn", "fra_Latn"]) == set()
    if not settled:
        with pytest.raises(BackboneError) as caught:
            translate(["a"], Route(model), CPU)
        assert caught.value.code == "translation_languages"


def test_a_model_of_many_tasks_is_asked_by_a_prefix(folder, translator):
    model = copy_model(translator, folder / "model", **PREFIX)
    assert find_codes(folder, model) == {"translation_prefix"}
    with pytest.raises(BackboneError) as caught:
        translate(["stop"], Route(model), CPU)
    assert caught.value.code == "translation_prefix"
    asked = translate(["stop", "play music"], Route(model, prefix="turn on "), CPU)
    assert asked == translate(["turn on stop", "turn on play music"], Route(translator), CPU)
    assert asked != translate(["stop", "play music"], Route(translator), CPU)
    assert find_codes(folder, model, prefixes=["turn on ", "stop "]) == set()


def test_a_model_of_one_direction_is_read_with_its_own_tokenizer(folder):
    model = save_tiny_marian(folder / "marian")
    assert find_codes(folder, model) == set()
    texts = translate(["stop the music", "play", "stop the music"], Route(model), CPU)
    assert texts[0] == texts[2]
    assert all(texts)


@pytest.fixture
def written(monkeypatch):
    """What each call of a model reads and writes, in tokens."""
    load, seen = translation._load, []

    def spy(folder):
        tokenizer, model = load(folder)
        generate = model.generate
        model.generate = lambda **given: [outputs := generate(**given), seen.append((given, outputs))][0]
        return tokenizer, model

    monkeypatch.setattr(translation, "_load", spy)
    return seen


def test_a_language_may_be_a_token_as_any_other(folder, translator, written):
    model = copy_model(translator, folder / "model", forced_bos_token_id=None)
    tokenizer = translation._load(model)[0]
    texts = translate(["stop", "play the music"], Route(model, source="red", target="green"), CPU)
    assert {row[1] for row in written[0][1].tolist()} == {tokenizer.convert_tokens_to_ids("green")}
    assert not any("green" in text.split() for text in texts)


def test_a_model_of_many_languages_writes_the_one_that_it_is_told(folder, written):
    """Its first token names the language, and is none of its words."""
    model = save_tiny_m2m(folder / "m2m")
    assert find_codes(folder, model) == {"translation_languages"}
    assert find_codes(folder, model, languages=["en", "de"]) == set()
    tokenizer = translation._load(model)[0]
    for source, target in (("en", "de"), ("fr", "xh")):
        texts = translate(["stop", "play the music"], Route(model, source=source, target=target), CPU)
        given, outputs = written.pop()
        assert {row[0] for row in given["input_ids"].tolist()} == {tokenizer.get_lang_id(source)}
        assert {row[1] for row in outputs.tolist()} == {tokenizer.get_lang_id(target)}
        assert not any(f"__{target}__" in text for text in texts)
    for codes in (("en", "klingon"), ("klingon", "en")):
        with pytest.raises(BackboneError, match="klingon") as caught:
            translate(["stop"], Route(model, *codes), CPU)
        assert caught.value.code == "translation_language"


def copy_model(folder, target, **config):
    """With other keys in its config."""
    shutil.copytree(folder, target)
    whole = json.loads((folder / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**whole, **config}))
    return target


def test_the_way_back_is_told_the_other_way_round():
    both = AugmentConfig(
        back_translation=("a", "b"), languages=("eng_Latn", "fra_Latn"), prefixes=("to French: ", "to English: ")
    )
    assert build_routes(both) == (
        Route(Path("a"), "eng_Latn", "fra_Latn", "to French: "),
        Route(Path("b"), "fra_Latn", "eng_Latn", "to English: "),
    )  # fmt: skip
    assert build_routes(AugmentConfig(back_translation=("a", "b"))) == (Route(Path("a")), Route(Path("b")))
    assert build_routes(AugmentConfig()) == ()


ANSWERS = [
    {
        "question": "which light", "context": f"the light: turn on the {colour} light in the {place}",
        "answer": f"{colour} light" if number % 3 else [f"{colour} light", "nowhere"], "start": 23,
    }
    for number, (colour, place) in enumerate(product(("red", "green", "warm"), ("kitchen", "hall")))
]  # fmt: skip


@pytest.mark.parametrize("start", ["start", None])
@pytest.mark.parametrize("texts", [{"text": "question", "pair": "context"}, {"text": "context"}])
@pytest.mark.parametrize("listed", [True, False], ids=["lists", "texts"])
def test_answers_move_with_their_words(folder, backbone, start, texts, listed):
    rows = [row for number, row in enumerate(ANSWERS * 6) if listed or number % 3]
    none = {"context": "turn it off", "question": "which light", "answer": "", "start": None}
    write_rows(folder / "train.jsonl", [*rows, none, {**none, "answer": None}])
    sections = {
        "data": {"train": "train.jsonl", "validation": 0.2}, "input": texts,
        "heads": {"what": {"kind": "span", "column": "answer", "start": start}},
    }  # fmt: skip
    material = prepare_run(
        resolve_config(build_mapping(backbone, **sections, augment={"copies": 3, "delete": 0.3, "swap": 0.3})), folder
    )
    (part,) = material.sets
    gold = join_gold(material.sets, material.tasks)["what"]
    places = encode_labels(gold, material.tasks[0])[len(rows) + 2 :]
    searched = part.texts.searched.to_pylist()[len(rows) + 2 :]
    found = [text[first:end] for text, (first, end) in zip(searched, places, strict=True) if end > 0]
    assert len(found) > len(rows)
    assert 1 < len(set(found) & {"red light", "green light", "warm light"}) == len(set(found))
    if start:
        assert len({int(first) for first, end in places if end > 0}) > 3, "not only where it stood"


@pytest.mark.parametrize("marked", [True, False])
def test_relations_move_with_their_words(folder, backbone, translator, marked):
    rows = [
        {
            "text": f"turn the <e1>{colour} light</e1> in the big <e2>{place}</e2> on", "tells": "ab"[number % 2],
            "tokens": f"turn the {colour} light in the big {place} on".split(), "first": [2, 4], "second": "7-8",
        }
        for number, (colour, place) in enumerate(list(product(("red", "green", "warm"), ("kitchen", "hall"))) * 5)
    ]  # fmt: skip
    write_rows(folder / "train.jsonl", rows)
    head = {"kind": "relation", "column": "tells", "spans": None if marked else ["first", "second"]}
    settings = {"copies": 2, "delete": 0.3, "back_translation": [str(translator), str(translator)]}
    material = prepare_run(
        resolve_config(
            build_mapping(
                backbone, data={"train": "train.jsonl", "validation": 0.2}, heads={"tells": head}, augment=settings,
                input={"text": "text"} if marked else {"tokens": "tokens"},
            )
        ),
        folder,
    )  # fmt: skip
    (part,) = material.sets
    assert {note["code"]: note["params"] for note in material.notes}["rows_not_translated"]["rows"] == sum(
        part.splits["train"] < 30
    )
    copies, places = part.texts.first.to_pylist()[30:], part.texts.spans["tells"][30:]
    assert len(copies) > 30
    for text, ends in zip(copies, places, strict=True):
        first, second = (text[slice(*ends[side : side + 2])] for side in (0, 2))
        colour, light = first.split() if marked else first
        assert light == "light"
        assert colour in ("red", "green", "warm")
        assert (second if marked else second[0]) in ("kitchen", "hall")
    assert len({tuple(ends) for ends in places.tolist()}) > 3


@pytest.mark.parametrize(
    ("augment", "path", "code"),
    [
        ({"synonyms": "none.txt"}, "augment.synonyms", "synonyms_missing"),
        ({"back_translation": ["none", "train.jsonl"]}, "augment.back_translation", "translation_missing"),
    ],
)
def test_a_draft_names_missing_files(folder, augment, path, code):
    draft = {"data": {"train": "train.jsonl"}, "augment": augment}
    problems = {(problem.path, problem.error.code) for problem in inspect_draft(draft, folder, None).problems}
    assert (path, code) in problems
