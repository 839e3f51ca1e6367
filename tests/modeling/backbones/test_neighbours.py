"""Neighbours in the input embeddings, against a plain loop."""

from __future__ import annotations

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModel, BertConfig

from chain_core.modeling.backbones.backbone import load_backbone
from chain_core.modeling.backbones.catalogue import read_facts
from chain_core.modeling.backbones.neighbours import find_neighbours, read_embeddings
from tests.tiny import FAMILIES, VOCABULARY, WORDS


@pytest.mark.parametrize("family", FAMILIES)
def test_embeddings_are_those_of_the_loaded_model(backbones, family):
    facts = read_facts(str(backbones[family]))
    table = read_embeddings(facts.folder, facts.vocab_size, facts.hidden_size)
    torch.testing.assert_close(table, load_backbone(facts).get_input_embeddings().weight.detach())


def test_neighbours_are_the_nearest_whole_words(backbones):
    facts = read_facts(str(backbones["bert"]))
    table = read_embeddings(facts.folder, facts.vocab_size, facts.hidden_size)
    found = find_neighbours(facts, ["light", "kitchen", "unseen", "[CLS]", "7"], 3)
    assert set(found) == {"light", "kitchen"}
    candidates = [word for word in WORDS if len(word) > 1]
    for word, neighbours in found.items():
        own = table[VOCABULARY.index(word)]
        others = [other for other in candidates if other != word]
        others.sort(key=lambda other: -float(torch.cosine_similarity(own, table[VOCABULARY.index(other)], dim=0)))
        assert list(neighbours) == others[:3]


def test_more_neighbours_than_words(backbones):
    facts = read_facts(str(backbones["bert"]))
    found = find_neighbours(facts, ["light"], 1000)
    assert len(found["light"]) == len([word for word in WORDS if len(word) > 1]) - 1


def test_words_of_a_byte_level_vocabulary_begin_with_a_space(tmp_path):
    vocabulary = {"<unk>": 0, "Ġon": 1, "Ġoff": 2, "off": 3, "Ġtürn": 4, "ĠOn": 5, "ĠtÃ¼rn": 6}
    torch.manual_seed(0)
    config = BertConfig(vocab_size=7, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    AutoModel.from_config(config).save_pretrained(tmp_path)
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    from tokenizers import decoders

    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.model = models.BPE(vocabulary, [], unk_token="<unk>", ignore_merges=True)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    found = find_neighbours(read_facts(str(tmp_path)), ["on", "off", "türn"], 9)
    assert set(found) == {"on", "off", "türn"}
    assert set(found["on"]) == {"off", "türn"}, "neither the same word in capitals nor a piece inside words"
