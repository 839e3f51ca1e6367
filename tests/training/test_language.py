"""Stages that learn the texts themselves: masks, next tokens, sentence pairs, from the config to the report."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from chain_core.config import resolve_config
from chain_core.data.encode import encode_texts
from chain_core.data.text import Texts
from chain_core.errors import ConfigError, RunError
from chain_core.modeling.backbones.catalogue import find_mask_token, load_tokenizer, read_facts
from chain_core.modeling.backbones.objectives import build_vocabulary
from chain_core.modeling.batch import list_places
from chain_core.reports.predictions import load_predictions
from chain_core.services.rows.prepare import prepare_run
from chain_core.services.runs.execute import execute_run
from chain_core.services.runs.predictor import load_predictor
from chain_core.training.masking import (
    Draws,
    MaskedFeed,
    build_next_tokens,
    draw,
    find_hidden_words,
    fix_draws,
    mask_tokens,
)
from tests.tiny import add_mask_token, build_commands, save_tiny_backbone, write_rows
from tests.training.setup import finish, get_staged

HEADS = {
    "intent": {"kind": "classification", "column": "intent"},
    "slots": {"kind": "tagging", "column": "slots"},
}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return add_mask_token(save_tiny_backbone(tmp_path_factory.mktemp("masked") / "bert"))


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    return save_tiny_backbone(tmp_path_factory.mktemp("causal") / "gpt2", "gpt2")


def build_mapping(model, stages, /, **sections):
    return {
        "data": {"train": "train.jsonl", "validation": 0.25, "test": 0.2},
        "input": {"tokens": "tokens"},
        "chain": {"depth": 2, "width": 32},
        "heads": HEADS,
        "stages": stages,
        **sections,
        "backbone": {"name": str(model), **sections.get("backbone", {})},
        "train": {"batch_size": 16, "learning_rate": 5e-3, "precision": "fp32", **sections.get("train", {})},
    }


@pytest.fixture
def folder(tmp_path):
    write_rows(tmp_path / "train.jsonl", build_commands())
    return tmp_path


def follow(folder, mapping):
    ready, feeds = get_staged(mapping, folder)
    seen, outcome = finish(ready.train(feeds=feeds))
    return ready.model, feeds, seen, outcome


def test_masks_are_80_10_10_and_spare_special_tokens(encoder):
    vocabulary = build_vocabulary(read_facts(str(encoder)))
    random = np.random.default_rng(0)
    size = len(vocabulary.special)
    ids = random.integers(0, size, (400, 50))
    mask = np.arange(50) < random.integers(20, 50, 400)[:, None]
    shown, labels = mask_tokens(ids, mask, vocabulary, 0.15, draw(ids.shape, size, random))
    chosen = labels >= 0
    assert not (chosen & ~mask).any()
    assert not (chosen & vocabulary.special[ids]).any()
    assert (labels[chosen] == ids[chosen]).all()
    assert (shown[~chosen] == ids[~chosen]).all()
    free = mask & ~vocabulary.special[ids]
    assert chosen.sum() / free.sum() == pytest.approx(0.15, abs=0.01)
    assert (shown[chosen] == vocabulary.mask).mean() == pytest.approx(0.8, abs=0.03)
    assert (shown[chosen] == ids[chosen]).mean() == pytest.approx(0.1, abs=0.03)


def test_no_token_is_drawn_that_the_backbone_does_not_know(tmp_path):
    """A tokenizer may have been given more of them."""
    folder = add_mask_token(save_tiny_backbone(tmp_path / "bert"))
    tokenizer = load_tokenizer(folder)
    known = tokenizer.get_vocab_size()
    tokenizer.add_tokens([f"more{number}" for number in range(400)])
    tokenizer.save(str(folder / "tokenizer.json"))
    facts = read_facts(str(folder))
    vocabulary = build_vocabulary(facts)
    assert (vocabulary.size, len(vocabulary.special)) == (known, known + 400)
    encoded = encode_texts(Texts("text", pa_texts(["a b c d e f"] * 50)), load_tokenizer(folder), 32)
    assert fix_draws(encoded, np.arange(50), vocabulary, 0).draws.other.max() < known
    feed = MaskedFeed(encoded, {}, False, {}, {}, {}, heads=("words",), vocabulary=vocabulary, share=0.9)
    assert max(int(feed.draw_batch(np.arange(50)).input_ids.max()) for _ in range(5)) < known


def test_a_hidden_words_shape_is_hidden_too(encoder):
    texts = Texts("text", pa_texts(["turn aab on", "aab red"]))
    encoded = encode_texts(texts, load_tokenizer(encoder), 32, lexical=True)
    chosen = np.zeros((2, int(encoded.lengths.max())), bool)
    chosen[0, 3] = True  # the second piece of "aab"
    hidden = find_hidden_words(encoded, np.arange(2), chosen)
    assert hidden[0].tolist()[:6] == [False, False, True, True, True, False]
    assert not hidden[1].any()


def pa_texts(texts):
    import pyarrow as pa

    return pa.array(texts, pa.string())


def test_next_tokens_end_with_their_row(encoder):
    encoded = encode_texts(Texts("text", pa_texts(["a b", "c"])), load_tokenizer(encoder), 32)
    following, offsets = build_next_tokens(encoded)
    rows = [encoded.input_ids[begin:end] for begin, end in pairwise(offsets)]
    assert following.tolist() == [*rows[0][1:], -1, *rows[1][1:], -1]


@pytest.mark.parametrize("tuning", [{}, {"tuning": "full", "layers": 2}, {"tuning": "full"}])
def test_masked_modelling_first_then_tasks(folder, encoder, tuning):
    stages = [{"objective": "masked_lm", "epochs": 8, "mask": 0.3, "name": "read"}, {"epochs": 2}]
    model, feeds, seen, outcome = follow(folder, build_mapping(encoder, stages, backbone=tuning))
    epochs = [event for event in seen if event["kind"] == "epoch"]
    first = [event["validation"] for event in epochs if event["stage"] == 1]
    assert set(first[0]) == {"masked_lm@2"}
    assert set(first[0]["masked_lm@2"]) == {"loss", "perplexity", "accuracy"}
    assert first[-1]["masked_lm@2"]["loss"] < 0.95 * first[0]["masked_lm@2"]["loss"]
    assert set(epochs[-1]["validation"]) == {"intent@2", "slots@2"}
    assert set(outcome.stages[0].validation) == {"masked_lm@2"}
    assert model.chain.active_heads == {"intent", "slots"}
    feed = feeds[1]
    hidden, free = count_hidden(feed, 40)
    assert hidden / free == pytest.approx(0.3, abs=0.04)
    rows = feed.splits["validation"][:5]
    one, other = feed.build_batch(rows), feed.build_batch(rows[::-1].copy())
    assert torch.equal(one.labels["masked_lm"], other.labels["masked_lm"].flip(0)), "the same masks whenever judged"
    train_rows = feed.splits["train"][:5]
    again = [feed.build_batch(train_rows).labels["masked_lm"] for _ in range(2)]
    assert not torch.equal(*again), "other masks at every turn"


def count_hidden(feed, times):
    """Tokens that are to be guessed in so many turns of the train rows, and tokens that may be."""
    rows, hidden, free = feed.splits["train"], 0, 0
    for _ in range(times):
        batch = feed.build_batch(rows)
        hidden += int((batch.labels["masked_lm"] >= 0).sum())
        free += int((~feed.vocabulary.special[feed.encoded.input_ids[list_places(feed.encoded.offsets, rows)]]).sum())
    return hidden, free


def test_states_of_masked_rows_are_the_backbones(folder, encoder):
    from transformers import AutoModel

    stages = [{"objective": "masked_lm"}, {}]
    _, feeds = get_staged(build_mapping(encoder, stages), folder)
    feed = feeds[1]
    rows = feed.splits["validation"][:6]
    batch = feed.build_batch(rows)
    plain = feed.encoded
    ids, mask = (np.zeros(batch.mask.shape, np.int64) for _ in range(2))
    for index, row in enumerate(rows):
        own = plain.input_ids[plain.offsets[row] : plain.offsets[row + 1]]
        ids[index, : len(own)] = own
        mask[index, : len(own)] = 1
    draws = feed.fixed.find(rows)
    shown, labels = mask_tokens(ids, mask.astype(bool), feed.vocabulary, feed.share, draws)
    whole = AutoModel.from_pretrained(str(encoder)).eval()
    with torch.no_grad():
        states = whole(torch.from_numpy(shown), torch.from_numpy(mask), output_hidden_states=True).hidden_states
    kept = batch.mask
    for layer, given in batch.hidden.items():
        torch.testing.assert_close(given[kept].float(), states[layer][kept], rtol=2e-3, atol=2e-3)
    assert torch.equal(batch.labels["masked_lm"], torch.from_numpy(labels))
    assert isinstance(draws, Draws)


def test_only_the_parts_of_a_stage_get_gradients(folder, encoder):
    stages = [{"objective": "masked_lm", "trains": ["links", "heads"]}, {"trains": ["heads"]}]
    mapping = build_mapping(encoder, stages, backbone={"tuning": "full", "layers": 1})
    ready, feeds = get_staged(mapping, folder)
    model = ready.model
    weights = {name: value.detach().clone() for name, value in model.named_parameters()}
    events = ready.train(feeds=feeds)
    for event in events:
        if event["kind"] == "stage" and event["stage"] == 2:
            break
    moved = {name for name, value in model.named_parameters() if not torch.equal(value, weights[name])}
    masked = [f"chain.heads.{index}." for index, key in enumerate(model.chain.keys) if key[0] == "masked_lm"]
    assert moved
    assert all(name.startswith((*masked, "chain.cells.", "chain.lexical.")) for name in moved)
    links = {name: value.detach().clone() for name, value in model.named_parameters()}
    list(events)
    moved = {name for name, value in model.named_parameters() if not torch.equal(value, links[name])}
    assert all(name.startswith("chain.heads.") and not name.startswith(tuple(masked)) for name in moved)
    assert moved


def test_heads_of_language_need_no_second_pass_to_agree(folder, encoder):
    """R-Drop compares answers to rows; where nothing is compared a step takes as long as without it."""
    stages = [{"objective": "masked_lm", "epochs": 1}, {"epochs": 1}]
    counts = []
    for strength in (0.0, 1.0):
        ready, feeds = get_staged(build_mapping(encoder, stages, train={"r_drop": strength}), folder)
        passes, seen = [], {1: 0, 2: 0}
        ready.model.register_forward_hook(lambda *given, passes=passes: passes.append(1))
        for event in ready.train(feeds=feeds):
            if event["kind"] == "epoch":
                seen[event["stage"]] = len(passes)
                passes.clear()
        counts.append(seen)
    assert counts[0][1] == counts[1][1] > 0
    assert counts[0][2] < counts[1][2]


def test_next_tokens_are_learned_in_their_own_stage_and_beside_tasks(folder, decoder):
    stages = [{"objective": "causal_lm", "epochs": 4}, {"epochs": 2}]
    heads = {**HEADS, "next": {"kind": "causal_lm", "depths": [0, "last"], "weight": 0.1}}
    _, _, seen, _ = follow(folder, build_mapping(decoder, stages, heads=heads))
    epochs = [event for event in seen if event["kind"] == "epoch"]
    assert set(epochs[0]["validation"]) == {"next@0", "next@2"}
    assert epochs[3]["validation"]["next@2"]["loss"] < epochs[0]["validation"]["next@2"]["loss"]
    assert set(epochs[-1]["validation"]) == {"intent@2", "slots@2", "next@0", "next@2"}
    shown = epochs[-1]["validation"]
    assert epochs[-1]["score"] == np.mean([shown["intent@2"]["accuracy"], shown["slots@2"]["entity_f1"]])


@pytest.mark.parametrize("columns", [{"tokens": "tokens"}, {"text": "text", "pair": "text"}])
def test_next_sentences(folder, encoder, columns):
    heads = {"intent": HEADS["intent"]}
    stages = [{"objective": "next_sentence", "epochs": 2}, {}]
    _, feeds, seen, _ = follow(folder, build_mapping(encoder, stages, heads=heads, input=columns))
    first = next(event for event in seen if event["kind"] == "epoch")
    assert set(first["validation"]["next_sentence@2"]) == {"loss", "accuracy"}
    assert feeds[1].encoded.token_type_ids.any()
    assert feeds[1].hidden, "states of pairs are cached"


@pytest.mark.parametrize("name", ["more.txt", "more.jsonl"])
def test_a_stage_reads_rows_of_its_own(folder, encoder, name):
    rows = build_commands(60)
    if name.endswith("txt"):
        (folder / name).write_text("\n".join(row["text"] for row in rows))
    else:
        write_rows(folder / name, [{"tokens": row["tokens"]} for row in rows])
    stages = [{"objective": "masked_lm", "data": name}, {}]
    (material, _, feed), feeds = get_staged(build_mapping(encoder, stages), folder)
    assert feeds[1].encoded.rows == 60
    assert len(feeds[1].splits["validation"]) == 6
    assert material.config.stages[0].data == str(folder / name)
    assert feed.encoded.rows == 120


def test_report_config_and_predictions_of_a_run(folder, encoder):
    stages = [{"objective": "masked_lm", "name": "read"}, {"epochs": 2}]
    events = []
    config = resolve_config(build_mapping(encoder, stages))
    report = execute_run(config, folder / "run", folder=folder, emit=events.append)
    assert [(stage["name"], stage["objective"], stage["epochs"]) for stage in report["stages"]] == [
        ("read", "masked_lm", 1), ("2-tasks", "tasks", 2),
    ]  # fmt: skip
    assert set(report["stages"][0]["validation"]["masked_lm@2"]) == {"loss", "perplexity", "accuracy"}
    assert set(report["test"]) == {"intent", "slots", "joint"}
    predictions = load_predictions(folder / "run" / "predictions" / "test.parquet")
    assert set(predictions.heads) == {"intent", "slots"}
    predictor = load_predictor(folder / "run")
    assert predictor.bundle.config.heads["masked_lm"].kind == "masked_lm"
    (answer,) = predictor.predict([{"text": "turn the red light"}])
    assert set(answer["heads"]) == {"intent", "slots"}


def test_a_run_of_texts_alone(folder, encoder):
    mapping = build_mapping(encoder, [{"objective": "masked_lm"}], heads={"read": {"kind": "masked_lm"}})
    report = execute_run(resolve_config(mapping), folder / "run", folder=folder, emit=lambda event: None)
    assert "read@2" in report["stages"][0]["validation"]
    assert (folder / "run" / "model" / "chain.safetensors").is_file()


def test_what_a_backbone_cannot_do_is_a_sentence(folder, backbone, encoder, decoder):
    for model, objective, code in (
        (encoder, "causal_lm", "causal_lm_encoder"), (decoder, "masked_lm", "no_mask_token"),
        (backbone, "masked_lm", "no_mask_token"),
    ):  # fmt: skip
        with pytest.raises(ConfigError) as caught:
            prepare_run(resolve_config(build_mapping(model, [{"objective": objective}, {}])), folder)
        assert (caught.value.code, caught.value.path) == (code, "stages[0].objective")


def test_a_head_that_no_stage_trains_is_refused(encoder):
    with pytest.raises(ConfigError) as caught:
        resolve_config(build_mapping(encoder, None, heads={**HEADS, "read": {"kind": "masked_lm"}}))
    assert caught.value.path == "heads.read"


def test_the_packaged_backbones_mask_is_found():
    facts = read_facts("minilm-l6")
    tokenizer = load_tokenizer(facts.folder)
    assert tokenizer.id_to_token(find_mask_token(facts.folder, tokenizer)) == "[MASK]"
    assert build_vocabulary(facts).special.sum() >= 4


def test_heads_that_no_stage_trains_have_no_figures_until_another_run_trains_them(folder, encoder):
    """Learning from texts alone is something to start from; a head that an old run trained keeps its figures."""

    def run(name, stages, **sections):
        events = []
        mapping = build_mapping(encoder, stages, **sections)
        report = execute_run(resolve_config(mapping), folder / name, folder=folder, emit=events.append)
        return report, [event for event in events if event["kind"] == "note"]

    words = [{"objective": "masked_lm"}]
    report, notes = run("words", words)
    assert "test" not in report
    assert report["stages"][0]["validation"].keys() == {"masked_lm@2"}
    assert [note["params"]["heads"] for note in notes if note["code"] == "heads_untaught"] == ["intent, slots"]
    with pytest.raises(RunError) as caught:
        load_predictor(folder / "words")
    assert caught.value.code == "nothing_answers"
    report, _ = run("tasks", [{}], start={"run": "words"})
    assert {"intent", "slots"} <= set(report["test"])
    heads = {**HEADS, "topics": {"kind": "multilabel", "column": "topics"}}
    report, notes = run("more", words, start={"run": "tasks"}, heads=heads)
    assert set(report["test"]) == {"intent", "slots", "joint"}, "topics begins anew"
    assert list(next(load_predictor(folder / "more").predict([{"tokens": ["turn", "on"]}]))["heads"]) == list(HEADS)
