"""Which file of a folder is read, what stands beside it, and what damaged or contradicting files get."""
import json
import os
from pathlib import Path

import pytest

from embeddings.problems import Problem
from embeddings.tokenizers.pieces import Pieces

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "##s"]
BYTES = {"Ġ": 0, "a": 1, "b": 2, "ab": 3, "Ġab": 4}
MERGES = "#version: 0.2\na b\nĠ ab\n"


def put(folder: Path, **files) -> Path:
    """Writes files: lists as lines, strings and bytes as they are, the rest as JSON; a dot is __."""
    for name, content in files.items():
        file = folder / name.replace("__", ".")
        if isinstance(content, bytes):
            file.write_bytes(content)
        elif isinstance(content, list):
            file.write_text("".join(f"{line}\n" for line in content), encoding="utf-8")
        else:
            file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return folder


def tokenizer_json(**changes) -> dict:
    """A whole tokenizer.json, with changes to its parts."""
    vocabulary = {token: id for id, token in enumerate(TOKENS)}
    special = {token: {"id": token, "ids": [id], "tokens": [token]} for token, id in (("[CLS]", 2), ("[SEP]", 3))}
    around = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
              {"SpecialToken": {"id": "[SEP]", "type_id": 0}}]
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"}, "decoder": None,
        "post_processor": {"type": "TemplateProcessing", "single": around,
                           "pair": [*around, {"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": special},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": vocabulary},
    } | changes


def model(**changes) -> dict:
    return tokenizer_json(model=tokenizer_json()["model"] | changes)


def test_a_tokenizer_json_that_stands_alone(tmp_path):
    """Its special tokens are those around a text, and those that have the usual names; its lengths don't count."""
    added = [{"id": id, "content": TOKENS[id], "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": False, "special": True} for id in range(5)]
    padding = {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
               "pad_type_id": 0, "pad_token": "[PAD]"}
    truncation = {"max_length": 3, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    put(tmp_path, tokenizer__json=tokenizer_json(added_tokens=added, padding=padding, truncation=truncation))
    pieces = Pieces.load(tmp_path)
    assert [pieces.pad, pieces.unknown, pieces.begin, pieces.end, pieces.mask] == [0, 1, 2, 3, 4]
    assert pieces.encode("the cats cats").ids.tolist() == [2, 5, 6, 7, 6, 7, 3]


def test_the_order_of_files(tmp_path, data):
    put(tmp_path, vocab__txt=TOKENS)
    assert Pieces.load(tmp_path).size == len(TOKENS)
    put(tmp_path, vocab__json=BYTES, merges__txt=MERGES)
    assert Pieces.load(tmp_path).size == len(BYTES)
    put(tmp_path, spiece__model=(data / "fixtures/sentencepiece/test_model.model").read_bytes())
    assert Pieces.load(tmp_path).size == 1000
    put(tmp_path, tokenizer__json=model(vocab={"[UNK]": 0, "[CLS]": 1, "x": 2}))
    with pytest.raises(Problem, match="template says that"):
        Pieces.load(tmp_path)
    assert Pieces.load(tmp_path / "merges.txt").size == Pieces.load(tmp_path / "vocab.json").size == len(BYTES)
    assert Pieces.load(tmp_path / "vocab.txt").size == len(TOKENS)


def test_case_is_kept_by_a_vocabulary_that_has_capitals(tmp_path):
    put(tmp_path, vocab__txt=[*TOKENS, "The"])
    assert Pieces.load(tmp_path).encode("The THE").ids.tolist() == [2, 8, 1, 3]
    put(tmp_path, tokenizer_config__json={"do_lower_case": True})
    assert Pieces.load(tmp_path).encode("The THE").ids.tolist() == [2, 5, 5, 3]
    put(tmp_path, vocab__txt=TOKENS, tokenizer_config__json={})
    assert Pieces.load(tmp_path).encode("The THE").ids.tolist() == [2, 5, 5, 3]


def test_special_tokens_by_other_names(tmp_path):
    """As tokenizer_config.json or special_tokens_map.json say, a string or an object; the former comes first."""
    tokens = ["<p>", "<u>", "<c>", "<e>", "<m>", "the"]
    put(tmp_path, vocab__txt=tokens,
        tokenizer_config__json={"pad_token": "<p>", "cls_token": "<c>",
                                "unk_token": {"content": "<u>", "__type": "AddedToken"}},
        special_tokens_map__json={"sep_token": {"content": "<e>"}, "mask_token": "<m>", "pad_token": "<other>"})
    pieces = Pieces.load(tmp_path)
    assert [pieces.pad, pieces.unknown, pieces.begin, pieces.end, pieces.mask] == [0, 1, 2, 3, 4]
    assert pieces.encode("the <m> x").ids.tolist() == [2, 5, 4, 1, 3]


def test_added_tokens(tmp_path):
    put(tmp_path, vocab__txt=TOKENS, added_tokens__json={"<new>": 8})
    pieces = Pieces.load(tmp_path)
    assert pieces.size == 9 and pieces.encode("cat<new>s").ids.tolist() == [2, 6, 8, 1, 3]
    rule = {"content": "<new>", "lstrip": True, "special": True}
    put(tmp_path, tokenizer_config__json={"added_tokens_decoder": {"8": rule}})
    assert Pieces.load(tmp_path).encode("cat <new>", offsets=True).offsets.tolist()[2] == [3, 9]


def test_a_frame_that_begins_a_gpt2(tmp_path):
    put(tmp_path, vocab__json=BYTES | {"<b>": 5}, merges__txt=MERGES,
        tokenizer_config__json={"tokenizer_class": "GPT2Tokenizer", "bos_token": "<b>", "add_bos_token": True})
    assert Pieces.load(tmp_path).encode("ab ab", "ab").ids.tolist() == [5, 3, 4, 5, 3]


def test_openais_gpt_cuts_lower_case_words(tmp_path):
    vocabulary = {token: n for n, token in enumerate("<unk> a b c a</w> b</w> ,</w> ab</w> ca cab</w>".split())}
    put(tmp_path, vocab__json=vocabulary, merges__txt=["#version: 0.2", "c a", "ca b</w>", "a b</w>"])
    pieces = Pieces.load(tmp_path)
    found = pieces.encode("AB, cab ba Cé", offsets=True)
    names = [pieces.tokens[id] for id in found.ids]
    assert names == ["ab</w>", ",</w>", "cab</w>", "b", "a</w>", "c", "<unk>"]
    assert found.offsets.tolist()[:4] == [[0, 2], [2, 3], [4, 7], [8, 9]] and pieces.unknown == 0
    assert pieces.decode(found.ids[:3]) == "ab , cab"
    put(tmp_path, vocab__json={name: id for name, id in vocabulary.items() if id} | {"x": 0},
        config__json={"model_type": "openai-gpt"})
    with pytest.raises(Problem, match="the unk_token '<unk>' is not in it"):
        Pieces.load(tmp_path)


@pytest.mark.parametrize(("kind", "inputs"), [
    ("BertTokenizer", ["input_ids", "token_type_ids", "attention_mask"]),
    ("DistilBertTokenizer", ["input_ids", "attention_mask"]),
    ("MPNetTokenizer", ["input_ids", "attention_mask"]),
])
def test_what_a_saved_folder_says(kind, inputs, tmp_path):
    """Which inputs the model takes, and what the folder that was read says of lengths; null says nothing."""
    tokens = ["<s>", "<pad>", "</s>", "<mask>", *TOKENS]
    put(tmp_path, vocab__txt=tokens, tokenizer_config__json={
        "tokenizer_class": kind, "do_lower_case": None, "strip_accents": None, "model_max_length": 99, "auto_map": {}})
    pieces = Pieces.load(tmp_path)
    pieces.save(tmp_path / "saved")
    said = json.loads((tmp_path / "saved/tokenizer_config.json").read_text())
    names = json.loads((tmp_path / "saved/special_tokens_map.json").read_text())
    assert said == {"model_input_names": inputs, "model_max_length": 99, "tokenizer_class": "PreTrainedTokenizerFast",
                    **names}
    assert names == pieces.names and names["cls_token"] in ("<s>", "[CLS]")
    assert sorted(file.name for file in (tmp_path / "saved").iterdir()) == [
        "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json"]


WORDS = {"vocab__txt": TOKENS}
PAIRS = {"vocab__json": BYTES, "merges__txt": MERGES}
CASES = {
    "nothing": ({}, r"no tokenizer in it; a tokenizer.json is expected, a sentencepiece .model, a vocab.json with "),
    "cut off": ({"tokenizer__json": json.dumps(tokenizer_json())[:-70]}, r"tokenizer.json, line 1, column \d+: no va"),
    "empty": ({"tokenizer__json": ""}, "tokenizer.json, line 1, column 1: no valid JSON"),
    "a list": ({"tokenizer__json": "[]"}, "holds a list where a JSON object is expected"),
    "no model": ({"tokenizer__json": {"vocab": {}}}, "no `model` in it"),
    "another model": ({"tokenizer__json": model(type="Tiktoken")},
                      "type 'Tiktoken'; supported are WordPiece, BPE, Unigram, WordLevel"),
    "another part": ({"tokenizer__json": tokenizer_json(pre_tokenizer={"type": "Jieba"})},
                     "version .* of the library tokenizers can't read it: .*PreTokenizer"),
    "no text": ({"tokenizer__json": b"\xff\xfe{}"}, "byte 0 is not UTF-8"),
    "twice": ({"tokenizer__json": model(vocab={"[UNK]": 0, "[CLS]": 2, "[SEP]": 3, "a": 1, "b": 1})},
              "'a' and 'b' both have id 1"),
    "gap": ({"tokenizer__json": model(vocab={"[UNK]": 0, "[CLS]": 2, "[SEP]": 3, "a": 5})}, "no token has id 1, "),
    "template": ({"tokenizer__json": model(vocab={"[UNK]": 0, "[SEP]": 1, "[CLS]": 2, "x": 3})},
                 r"template says that \[SEP\] is id 3, its vocabulary that this is x"),
    "no place": ({"tokenizer__json": tokenizer_json(post_processor=tokenizer_json()["post_processor"] | {"single": [
        {"SpecialToken": {"id": "[CLS]", "type_id": 0}}, *[{"Sequence": {"id": "A", "type_id": 0}}] * 2]})},
                 "leaves out or repeats a text"),
    "no such token": ({**WORDS, "tokenizer_config__json": {"mask_token": "<mask>"}}, "mask_token '<mask>' is not in"),
    "no such token in json": ({"tokenizer__json": tokenizer_json(), "special_tokens_map__json": {"pad_token": "<p>"}},
                              "no token '<p>', which a file beside it names as pad_token"),
    "no token": ({**WORDS, "tokenizer_config__json": {"pad_token": 7}}, "pad_token is 7; a string is expected"),
    "no content": ({**WORDS, "tokenizer_config__json": {"pad_token": {"content": ""}}}, "pad_token is {'content': ''}"),
    "no boolean": ({**WORDS, "tokenizer_config__json": {"do_lower_case": "yes"}}, "do_lower_case is 'yes'; true or"),
    "no count": ({"spiece__model": b"", "tokenizer_config__json": {"extra_ids": 1.5}}, "extra_ids is 1.5; a whole"),
    "broken settings": ({**WORDS, "tokenizer_config__json": "{\n'a': 1}"}, "tokenizer_config.json, line 2, column 1"),
    "added elsewhere": ({**WORDS, "added_tokens__json": {"<new>": 12}}, "'<new>' as id 8, a file beside it as 12"),
    "moved": ({"tokenizer__json": tokenizer_json(), "tokenizer_config__json": {"added_tokens_decoder": {
        "5": {"content": "cat"}}}}, "'cat' as id 6, a file beside it as 5"),
    "no number": ({**WORDS, "added_tokens__json": {"<new>": "x"}}, "added_tokens.json: added tokens are expected with"),
    "not UTF-8": ({"vocab__txt": b"[UNK]\n\xe9t\xe9\n"}, "vocab.txt: byte 6 is not UTF-8"),
    "a line twice": ({"vocab__txt": [*TOKENS, "cat"]}, "'cat' stands in lines 7 and 9"),
    "no [CLS]": ({"vocab__txt": ["[UNK]", "[SEP]", "a"]}, r"the cls_token '\[CLS\]' is not in it"),
    "japanese": ({**WORDS, "tokenizer_config__json": {"tokenizer_class": "BertJapaneseTokenizer"}},
                 "type bertjapanese; supported with this file are bert, distilbert, electra, mpnet"),
    "by model": ({**PAIRS, "config__json": {"model_type": "blenderbot-small"}},
                 "type blenderbotsmall; supported with this file are bart, gpt2"),
    "no merges": ({"vocab__json": BYTES}, "merges.txt: No such file or directory"),
    "other merges": ({**PAIRS, "merges__txt": "#version\na c\n"}, r"merges.txt: doesn't go with .*Token `c`"),
    "broken merges": ({**PAIRS, "merges__txt": "a b\nab\n"}, r"merges.txt: doesn't go with .*line 2"),
    "no id": ({**PAIRS, "vocab__json": {"a": "0"}}, "the id of 'a' is '0'; a whole number"),
    "half an id": ({**PAIRS, "vocab__json": BYTES | {"c": 1.5}}, "the id of 'c' is 1.5"),
    "ids with a gap": ({**PAIRS, "vocab__json": BYTES | {"c": 9}}, "no token has id 5"),
    "an id twice": ({**PAIRS, "vocab__json": BYTES | {"c": 4}}, "'c' and 'Ġab' both have id 4"),
    "no sentencepiece": ({"spiece__model": b"\x00\x01not a model"}, "no sentencepiece model"),
    "empty model": ({"spiece__model": b""}, "no sentencepiece model"),
    "two models": ({"a__model": b"", "b__model": b""}, "holds a.model, b.model; name the one to read"),
    "albert": ({"spiece__model": b"", "tokenizer_config__json": {"tokenizer_class": "AlbertTokenizer"}},
               "type albert; supported with this file are bertgeneration, t5, xlmroberta"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_files(case, tmp_path):
    files, said = CASES[case]
    with pytest.raises(Problem, match=said) as caught:
        Pieces.load(put(tmp_path, **files))
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_bad_paths(tmp_path, data):
    with pytest.raises(Problem, match=r"nowhere: no such file or folder"):
        Pieces.load(tmp_path / "nowhere")
    put(tmp_path, vocab__txt=TOKENS)
    (tmp_path / "tokenizer_config.json").mkdir()
    with pytest.raises(Problem, match=r"tokenizer_config.json: Is a directory"):
        Pieces.load(tmp_path)
    put(tmp_path, other__model=(data / "fixtures/sentencepiece/test_model.model").read_bytes()[:-1000])
    (tmp_path / "tokenizer_config.json").rmdir()
    with pytest.raises(Problem, match=r"other.model: no sentencepiece model"):
        Pieces.load(tmp_path / "other.model")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    put(tmp_path, vocab__txt=TOKENS)
    (tmp_path / "vocab.txt").chmod(0)
    with pytest.raises(Problem, match=r"vocab.txt: Permission denied"):
        Pieces.load(tmp_path)
