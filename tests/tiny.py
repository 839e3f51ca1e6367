"""Tiny random backbones of several families, saved on disk as a user's folder would be."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = (
    *("a", "b", "c", "d", "e", "f", "the", "light", "on", "off", "turn", "in", "kitchen", "hall"),
    *("red", "green", "warm", "cold", "play", "stop", "music", "good", "bad", "day"),
)
PIECES = tuple(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")
VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, *PIECES)
FAMILIES = ("bert", "roberta", "distilbert", "gpt2", "llama")


def save_tiny_backbone(folder: Path, family: str = "bert", *, layers: int = 4, width: int = 32) -> Path:
    """A random model of 4 layers with a WordPiece tokenizer; the same weights at every call."""
    from transformers import AutoModel

    torch.manual_seed(7)
    model = AutoModel.from_config(_build_config(family, layers, width))
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    _build_tokenizer().save(str(folder / "tokenizer.json"))
    return folder


def add_mask_token(folder: Path) -> Path:
    """Gives a tiny backbone's tokenizer a mask, in the place of a piece that no word needs; the weights stay."""
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["model"]["vocab"]["[MASK]"] = content["model"]["vocab"].pop("##q")
    path.write_text(json.dumps(content), encoding="utf-8")
    return folder


def save_tiny_vit(folder: Path) -> Path:
    """A random vision transformer over 3 x 2 patches and a class token; it has no tokenizer."""
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(7)
    shape = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 64}
    ViTModel(ViTConfig(**shape, image_size=(6, 4), patch_size=2), add_pooling_layer=False).save_pretrained(folder)
    return folder


def _build_config(family: str, layers: int, width: int):
    from transformers import AutoConfig

    size = len(VOCABULARY)
    common = {"vocab_size": size, "pad_token_id": 0}
    settings = {
        "bert": {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": 4, "intermediate_size": 64},
        "roberta": {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": 4,
                    "intermediate_size": 64, "max_position_embeddings": 130},
        "distilbert": {"dim": width, "n_layers": layers, "n_heads": 4, "hidden_dim": 64},
        "gpt2": {"n_embd": width, "n_layer": layers, "n_head": 4, "n_positions": 128},
        "opt": {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": 4, "ffn_dim": 64,
                "word_embed_proj_dim": width, "max_position_embeddings": 128},
        "electra": {"embedding_size": width // 2, "hidden_size": width, "num_hidden_layers": layers,
                    "num_attention_heads": 4, "intermediate_size": 64},
        "gemma3_text": {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": 4,
                        "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 64, "sliding_window": 4,
                        "layer_types": ["sliding_attention", "full_attention", "full_attention", "sliding_attention"],
                        "max_position_embeddings": 128},
        "llama": {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": 4,
                  "num_key_value_heads": 2, "intermediate_size": 64, "max_position_embeddings": 128},
    }  # fmt: skip
    return AutoConfig.for_model(family, **{**common, **settings[family]})


def save_tiny_translator(folder: Path) -> Path:
    """A random sequence-to-sequence model that says much nonsense; the same weights at every call."""
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    torch.manual_seed(3)
    config = T5Config(
        vocab_size=len(VOCABULARY), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, pad_token_id=0,
        eos_token_id=3, decoder_start_token_id=0, initializer_factor=5.0,
    )  # fmt: skip
    T5ForConditionalGeneration(config).save_pretrained(folder)
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "eos_token": "[SEP]", "cls_token": "[CLS]"}
    PreTrainedTokenizerFast(tokenizer_object=_build_tokenizer(), **names).save_pretrained(folder)
    return folder


def save_tiny_marian(folder: Path) -> Path:
    """A random model of one direction, as OPUS-MT's are: its tokenizer reads two SentencePiece files."""
    from transformers import MarianConfig, MarianMTModel, MarianTokenizer

    pieces, vocabulary = _train_pieces(folder)
    tokenizer = MarianTokenizer(str(pieces), str(pieces), str(vocabulary), source_lang="en", target_lang="de")
    return _save_translator(folder, tokenizer, MarianMTModel, MarianConfig, 0, tokenizer.pad_token_id)


def save_tiny_m2m(folder: Path) -> Path:
    """A random model of a hundred languages, as M2M-100 is."""
    from transformers import M2M100Config, M2M100ForConditionalGeneration, M2M100Tokenizer

    pieces, vocabulary = _train_pieces(folder)
    tokenizer = M2M100Tokenizer(str(vocabulary), str(pieces))
    return _save_translator(
        folder, tokenizer, M2M100ForConditionalGeneration, M2M100Config, 120, tokenizer.eos_token_id
    )


def _train_pieces(folder: Path) -> tuple[Path, Path]:
    """A SentencePiece model of the commands' texts, and the numbers of its pieces."""
    import sentencepiece

    folder.mkdir(parents=True)
    texts = iter([row["text"] for row in build_commands(60)])
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=texts, model_prefix=str(folder / "own"), vocab_size=60, hard_vocab_limit=False, minloglevel=2
    )
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "own.model"))
    found = [model.id_to_piece(number) for number in range(model.get_piece_size())]
    pieces = dict.fromkeys(["<s>", "<pad>", "</s>", "<unk>", *found])
    (folder / "own.json").write_text(json.dumps({piece: number for number, piece in enumerate(pieces)}))
    return folder / "own.model", folder / "own.json"


def _save_translator(folder: Path, tokenizer, model: type, config: type, languages: int, first: int) -> Path:
    torch.manual_seed(3)
    parts = {f"{part}_{name}": 16 if name == "ffn_dim" else 1 for part in ("encoder", "decoder")
             for name in ("layers", "attention_heads", "ffn_dim")}  # fmt: skip
    whole = config(
        vocab_size=len(tokenizer.encoder) + languages, d_model=16, **parts, max_position_embeddings=600,
        pad_token_id=tokenizer.pad_token_id, bos_token_id=0, eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=first, forced_eos_token_id=None,
    )  # fmt: skip
    model(whole).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@cache
def _build_tokenizer() -> Tokenizer:
    vocabulary = {token: number for number, token in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def write_rows(path: Path, rows: list[dict]) -> Path:
    """JSON lines."""
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n", encoding="utf-8")
    return path


def build_commands(count: int = 120) -> list[dict]:
    """Rows with a learnable intent, tags, labels and a score; every 10th lacks its intent, every 7th its tags."""
    places, colours, verbs = ["kitchen", "hall"], ["red", "green", "warm"], ["turn", "play", "stop"]
    rows = []
    for number in range(count):
        verb, place, colour = verbs[number % 3], places[number % 2], colours[(number // 2) % 3]
        tokens = [verb, "the", colour, "light", "in", "the", place]
        rows.append(
            {
                "tokens": tokens,
                "text": " ".join(tokens),
                "intent": None if number % 10 == 9 else f"{verb}-it",
                "slots": None if number % 7 == 6 else ["O", "O", "B-colour", "I-colour", "O", "O", "B-place"],
                "topics": [verb, place] if number % 3 else [place],
                "score": float(number % 3) + 0.5 * (number % 2),
            }
        )
    return rows
