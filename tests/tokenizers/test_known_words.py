"""Words by number beside a loop over them, kept and read again."""
import json
import re
from pathlib import Path

import numpy as np
import pytest
from nasty import nasty

from embeddings.problems import Problem
from embeddings.tokenizers import known_words
from embeddings.tokenizers.frames import FIRST, SECOND
from embeddings.tokenizers.known_words import KnownWords
from embeddings.tokenizers.pieces import Pieces
from embeddings.tokenizers.settings import Settings
from embeddings.tokenizers.words import Words

TEXTS = nasty(300)


def pieces(words, cut, **around):
    return Pieces(KnownWords(tuple(words), cut, **around), {}, Settings(Path()))


@pytest.mark.parametrize("cut", [Words(), Words(lower=False), Words("whitespace"), Words("whitespace", lower=False)])
def test_every_word_has_its_number_and_its_place(cut):
    known = known_words.different(TEXTS, cut)
    read = pieces(known, cut).encode(TEXTS, offsets=True)
    assert len(known) == len({*known}) > 100
    for number, text in enumerate(TEXTS):
        text = re.sub("[\ud800-\udfff]", "\ufffd", text)
        here = slice(read.starts[number], read.starts[number + 1])
        words = cut.split(text)
        assert [known[id] for id in read.ids[here]] == words
        where = [text[first:after] for first, after in read.offsets[here]]
        assert [cut.split(word) for word in where] == [[word] for word in words]
    again = known_words.different(iter(TEXTS), cut)
    assert again == known


def test_what_stands_around_texts_and_for_unknown_words():
    tokenizer = pieces(["<unk>", "<s>", "</s>", "ba", "ce"], Words(), begin="<s>", end="</s>", unknown="<unk>")
    assert tokenizer.encode(["ba, CE\ndi", ""]).ids.tolist() == [1, 3, 4, 0, 2, 1, 2]
    assert [part.id for part in tokenizer.frame(pair=True)] == [1, FIRST, 2, 1, SECOND, 2]
    assert tokenizer.encode(["ba"], ["ce"]).ids.tolist() == [1, 3, 2, 1, 4, 2] and tokenizer.added() == 2
    assert tokenizer.decode([1, 3, 4, 2]) == "ba ce" and tokenizer.decode([1, 3], special=True) == "<s> ba"
    with pytest.raises(Problem, match="'di' is not among the 1 words that are known"):
        pieces(["ba"], Words()).encode(["ba di"])


def test_it_is_kept_and_read_again(tmp_path):
    engine = KnownWords(("<s>", "Bä\u2028\ud800", "c\"e"), Words("whitespace", lower=False), begin="<s>")
    tokenizer = Pieces(engine, {"bos_token": "<s>"}, Settings(Path()))
    tokenizer.save(tmp_path)
    again = Pieces.load(tmp_path)
    assert again.tokens == tokenizer.tokens and again.engine.cut == engine.cut and again.digest() == tokenizer.digest()
    assert again.begin == 0 and again.frame() == tokenizer.frame() and again.unknown is None
    np.testing.assert_array_equal(again.encode(["c\"e c\"e"]).ids, [0, 2, 2])


@pytest.mark.parametrize("change", [
    {"words": ["ba", "ba"]}, {"words": [3]}, {"begin": "<s>"}, {"tokenizer": "letters"}, {"words": None},
])
def test_a_damaged_one_is_named(tmp_path, change):
    said = json.loads(KnownWords(("ba",), Words()).files()[known_words.FILE]) | change
    (tmp_path / known_words.FILE).write_text(json.dumps(said))
    with pytest.raises(Problem, match=re.escape(f"{tmp_path / known_words.FILE}: ")):
        Pieces.load(tmp_path)
