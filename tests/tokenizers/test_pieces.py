"""Pieces of words, against loops over their definitions and against ids that the authors' programs gave."""
import gzip
import itertools
import json
import re

import numpy as np
import pytest
from nasty import nasty

from embeddings.problems import Problem
from embeddings.tokenizers import texts
from embeddings.tokenizers.pieces import Pieces

TOKENS = "[PAD] [UNK] [CLS] [SEP] [MASK] the un ##aff ##able cat ##s é e 漢 , s".split()
"""A vocabulary of BERT's kind."""


def rows(encoded, what="ids") -> list[list]:
    """An array of Encoded, text by text."""
    return [part.tolist() for part in np.split(getattr(encoded, what), encoded.starts[1:-1])]


@pytest.fixture
def small(tmp_path) -> Pieces:
    (tmp_path / "vocab.txt").write_text("\n".join(TOKENS) + "\n")
    return Pieces.load(tmp_path)


@pytest.fixture(scope="module")
def bert(data) -> Pieces:
    return Pieces.load(data / "tokenizers/bert-base-uncased")


@pytest.fixture(scope="module")
def gpt2(data) -> Pieces:
    return Pieces.load(data / "tokenizers/gpt2")


@pytest.fixture(scope="module")
def sentencepiece(data) -> Pieces:
    return Pieces.load(data / "fixtures/sentencepiece")


def test_special_tokens_and_sizes(small, bert, gpt2, sentencepiece):
    assert [small.pad, small.unknown, small.begin, small.end, small.mask] == [0, 1, 2, 3, 4]
    assert (small.size, small.tokens) == (len(TOKENS), tuple(TOKENS))
    assert [bert.pad, bert.unknown, bert.begin, bert.end, bert.mask] == [0, 100, 101, 102, 103]
    assert [gpt2.pad, gpt2.unknown, gpt2.begin, gpt2.end, gpt2.mask] == [None, 50256, 50256, 50256, None]
    assert [sentencepiece.pad, sentencepiece.unknown, sentencepiece.begin, sentencepiece.end] == [None, 0, 1, 2]
    assert [model.size for model in (bert, gpt2, sentencepiece)] == [30522, 50257, 1000]
    for model, added in ((bert, (2, 3)), (gpt2, (0, 0)), (sentencepiece, (0, 0))):
        assert (model.added(), model.added(pair=True)) == added
        assert len(model.tokens) == model.size


def test_word_pieces_by_hand(small):
    """The longest piece first; a word that can't be cut to the end is unknown; accents go with capitals."""
    got = small.encode(["The unaffable CATS, É", "", "catx 漢s [MASK]s"], offsets=True)
    assert rows(got) == [[2, 5, 6, 7, 8, 9, 10, 14, 12, 3], [2, 3], [2, 1, 13, 15, 4, 15, 3]]
    assert rows(got, "special")[1] == [True, True] and rows(got, "special")[2] == [True, *[False] * 5, True]
    assert rows(got, "offsets")[0] == [[0, 0], [0, 3], [4, 6], [6, 9], [9, 13], [14, 17], [17, 18], [18, 19], [20, 21],
                                       [0, 0]]
    assert small.decode(got.ids[: got.starts[1]]) == "the unaffable cats, e"
    assert small.decode(got.ids[got.starts[2] :], special=True) == "[CLS] [UNK] 漢 s [MASK] s [SEP]"


def test_pairs_and_texts_without_special_tokens(small):
    got = small.encode(["the", ""], ["cats", "un"], offsets=True)
    assert rows(got) == [[2, 5, 3, 9, 10, 3], [2, 3, 6, 3]] and rows(got, "types") == [[0, 0, 0, 1, 1, 1], [0, 0, 1, 1]]
    assert rows(got, "offsets")[0] == [[0, 0], [0, 3], [0, 0], [0, 3], [3, 4], [0, 0]]
    bare = small.encode(["the", ""], ["cats", "un"], special=False)
    assert rows(bare) == [[5, 9, 10], [6]] and rows(bare, "types") == [[0, 1, 1], [1]]
    assert bare.offsets is None and not bare.special.any()
    assert rows(small.encode("the", "un")) == [[2, 5, 3, 6, 3]]
    assert len(small.encode([])) == 0 and small.encode([], [], offsets=True).offsets.shape == (0, 2)


def test_ids_of_questions_are_those_of_bert(data, bert):
    """10,570 questions of SQuAD with the pieces that BERT's own program cut them into."""
    with gzip.open(data / "fixtures/bert_tokenizer/question_tokens.json.gz") as handle:
        questions = json.load(handle)
    number = {token: id for id, token in enumerate(bert.tokens)}
    got = rows(bert.encode([question["original"] for question in questions]))
    for question, ids in zip(questions, got, strict=True):
        assert ids == [101, *(number[piece] for piece in question["wordpiece"]), 102], question["original"]


def merged(word: str, ranks: dict[tuple[str, str], int]) -> list[str]:
    """Byte-pair encoding by definition: the pair that was merged first in training is merged first, leftmost first."""
    parts = list(word)
    while True:
        ranked = [(ranks.get(pair, len(ranks)), at) for at, pair in enumerate(itertools.pairwise(parts))]
        if not ranked or min(ranked)[0] == len(ranks):
            return parts
        at = min(ranked)[1]
        parts[at : at + 2] = [parts[at] + parts[at + 1]]


def test_byte_pairs_are_merged_as_defined(data, gpt2):
    """On ASCII, where letters and digits are what re says they are; a blank is written Ġ, a newline Ċ."""
    lines = (data / "tokenizers/gpt2/vocab.bpe").read_text(encoding="utf-8").split("\n")[1:-1]
    ranks = {tuple(line.split(" ")): rank for rank, line in enumerate(lines)}
    number = {token: id for id, token in enumerate(gpt2.tokens)}
    cut = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[A-Za-z]+| ?\d+| ?[^\sA-Za-z\d]+|\s+(?!\S)|\s+")
    plain = (text for text in nasty(5000) if len(text) < 200 and text.isascii())
    asked = [text for text in plain if text.replace("\n", " ").isprintable()]
    assert len(asked) > 100 and "<|endoftext|>" in " ".join(asked)
    for text, ids in zip(asked, rows(gpt2.encode(asked)), strict=True):
        expected = []
        for part in re.split(r"(<\|endoftext\|>)", text):
            if part == "<|endoftext|>":
                expected.append(50256)
                continue
            words = (word.replace(" ", "Ġ").replace("\n", "Ċ") for word in cut.findall(part))
            expected += [number[piece] for word in words for piece in merged(word, ranks)]
        assert ids == expected, ascii(text)
    assert rows(gpt2.encode(["Hello world"])) == [[15496, 995]]


@pytest.mark.parametrize("name", ["bert", "gpt2", "sentencepiece"])
def test_offsets_and_portions_change_no_ids(name, request, monkeypatch):
    model = request.getfixturevalue(name)
    strings = nasty(600)
    whole = model.encode(strings, offsets=True)
    monkeypatch.setattr(texts, "TEXTS", 7)
    monkeypatch.setattr(texts, "CHARACTERS", 150)
    for other in (model.encode(strings), model.encode(strings, offsets=True)):
        np.testing.assert_array_equal(other.ids, whole.ids)
        np.testing.assert_array_equal(other.starts, whole.starts)
    np.testing.assert_array_equal(other.offsets, whole.offsets)
    lengths = np.repeat([len(text) for text in strings], whole.lengths)
    assert (whole.offsets >= 0).all() and (whole.offsets[:, 1] <= lengths).all()
    assert (whole.offsets[:, 0] <= whole.offsets[:, 1]).all()
    assert whole.ids.min() >= 0 and whole.ids.max() < model.size


@pytest.mark.parametrize("name", ["bert", "gpt2", "sentencepiece"])
def test_half_a_surrogate_pair_is_the_replacement_character(name, request):
    model = request.getfixturevalue(name)
    halves, replaced = ["a\ud800b", "\udfff", "x"], ["a\ufffdb", "\ufffd", "x"]
    np.testing.assert_array_equal(model.encode(halves).ids, model.encode(replaced).ids)


@pytest.mark.parametrize("name", ["bert", "gpt2", "sentencepiece"])
def test_a_megabyte_without_a_blank(name, request):
    """Time in proportion to length: a quadratic tokenizer would take hours. The ends of the text must come out."""
    model = request.getfixturevalue(name)
    letters = np.random.default_rng(0).integers(ord("a"), ord("z"), 2**20, np.uint8, endpoint=True)
    word = letters.tobytes().decode()
    short, long = model.encode([word[:1000]]), model.encode([word], offsets=True)
    if name == "bert":
        assert rows(long) == [[101, 100, 102]]
        assert rows(long, "offsets") == [[[0, 0], [0, 2**20], [0, 0]]]
    else:
        assert model.decode(long.ids) == word and long.offsets[-1, 1] == 2**20
        assert long.ids[:100].tolist() == short.ids[:100].tolist()


@pytest.mark.parametrize(("asked", "said"), [
    (["a", None], r"text 1 \(counted from 0\) is not a string but NoneType: None"),
    (["a", b"b"], "text 1 .* bytes: b'b'"),
    ([["a", "b"]], "text 0 .* list"),
    ([3.5], "text 0 .* float: 3.5"),
])
def test_what_is_no_string_is_named(small, asked, said):
    with pytest.raises(Problem, match=said):
        small.encode(asked)
    with pytest.raises(Problem, match=f"second {said}"):
        small.encode(["a"] * len(asked), asked)


def test_other_bad_input(small):
    with pytest.raises(Problem, match="2 texts and 1 second texts"):
        small.encode(["a", "b"], ["c"])
    with pytest.raises(Problem, match="16 is no id of a tokenizer of 16 tokens"):
        small.decode([0, 16])
    with pytest.raises(Problem, match="-1 is no id"):
        small.decode([-1])


@pytest.mark.parametrize("name", ["bert", "gpt2", "sentencepiece"])
def test_a_saved_tokenizer_comes_back(name, request, tmp_path):
    model = request.getfixturevalue(name)
    model.save(tmp_path)
    again = Pieces.load(tmp_path)
    assert (again.tokens, again.names) == (model.tokens, model.names)
    strings = nasty(500)
    for pairs in (None, strings[::-1]):
        one, other = model.encode(strings, pairs, offsets=True), again.encode(strings, pairs, offsets=True)
        for array in ("ids", "starts", "types", "special", "offsets"):
            np.testing.assert_array_equal(getattr(one, array), getattr(other, array))
    assert not list(tmp_path.glob("*.part"))
