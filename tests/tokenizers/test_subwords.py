"""N-grams against a plain loop over their definition, and against the authors' program."""
import random

import numpy as np
import pytest

from embeddings.problems import Problem
from embeddings.tokenizers.subwords import Subwords

SCRIPTS = [(0x61, 26), (0x41, 26), (0x30, 10), (0xE0, 31), (0x3B1, 25), (0x430, 32), (0x5D0, 27), (0x627, 36),
           (0x915, 37), (0xE01, 46), (0x3041, 83), (0x4E00, 900), (0xAC00, 900), (0x1F600, 60), (0x300, 40)]
"""First code point and number of code points of a range."""


def drawn_words(number: int, seed: int = 0) -> list[str]:
    """Words of one script each, and some that mix two."""
    draw = random.Random(seed)
    words = []
    for n in range(number):
        first, size = draw.choice(SCRIPTS)
        word = "".join(chr(first + draw.randrange(size)) for _ in range(draw.randrange(1, 14)))
        words.append(word if n % 5 else word + chr(draw.choice(SCRIPTS)[0]))
    return words


def by_definition(word: bytes, minimum: int, maximum: int, buckets: int) -> list[int]:
    """One n-gram after another, one byte after another."""
    characters: list[bytes] = []
    for byte in b"<" + word + b">":
        if 0x80 <= byte < 0xC0:
            characters[-1] += bytes([byte])
        else:
            characters.append(bytes([byte]))
    found = []
    for start in range(len(characters)):
        for n in range(1, maximum + 1):
            ngram = characters[start : start + n]
            if len(ngram) < n or n < minimum or (n == 1 and start in (0, len(characters) - 1)):
                continue
            h = 2166136261
            for byte in b"".join(ngram):
                h ^= byte if byte < 128 else byte + 0xFFFFFF00
                h = h * 16777619 % 2**32
            found.append(h % buckets)
    return found


@pytest.mark.parametrize(("minimum", "maximum", "buckets"), [(3, 6, 2_000_000), (1, 2, 97), (2, 9, 2**31 - 1)])
def test_ngrams_are_those_of_the_definition(minimum, maximum, buckets):
    subwords = Subwords(minimum, maximum, buckets)
    words = ["", "a", "a" * 40, *drawn_words(300)]
    starts, table = subwords.table(words)
    assert len(starts) == len(words) + 1 and starts[0] == 0 and starts[-1] == len(table)
    for v, word in enumerate(words):
        expected = by_definition(word.encode(), minimum, maximum, buckets)
        assert table[starts[v] : starts[v + 1]].tolist() == expected, word
        assert subwords.ngrams(word).tolist() == expected == subwords.ngrams(word.encode()).tolist()


def test_bytes_that_are_not_utf8_belong_to_the_character_before():
    subwords = Subwords(1, 4, 1000)
    draw = random.Random(1)
    for _ in range(200):
        word = bytes(draw.choice(b"ab\x80\xbf\xc3\xff\xe2\x82") for _ in range(draw.randrange(9)))
        expected = by_definition(word, 1, 4, 1000)
        assert subwords.ngrams(word).tolist() == expected, word
        assert subwords.ngrams(word.decode(errors="surrogateescape")).tolist() == expected, word


def test_half_a_surrogate_pair_is_a_character():
    assert len(Subwords(1, 1).ngrams("\ud800")) == 1


def test_the_end_of_a_line_has_no_ngrams():
    starts, table = Subwords().table(["</s>", "where", "</s>"])
    assert starts.tolist() == [0, 0, 14, 14] and len(table) == 14


def test_there_may_be_no_words_and_no_ngrams():
    assert [a.tolist() for a in Subwords().table([])] == [[0], []]
    for none in (Subwords(3, 0, 0), Subwords(0, 0, 0), Subwords(5, 4, 9)):
        assert none.table(["where", "is"])[0].tolist() == [0, 0, 0]


def test_the_longest_ngram_may_be_longer_than_any_word():
    assert Subwords(3, 2**31 - 1).ngrams("cat").tolist() == Subwords(3, 5).ngrams("cat").tolist()


def test_more_words_than_are_hashed_at_once():
    words = [f"w{n}" for n in range(70_000)]
    starts, table = Subwords().table(words)
    for v in (0, 65_535, 65_536, 69_999):
        assert table[starts[v] : starts[v + 1]].tolist() == Subwords().ngrams(words[v]).tolist()


@pytest.mark.parametrize("wrong", [(3, 6, 0), (3, 6, -1), (3, 6, 2**31), (-1, 6, 10), (0, -1, 10)])
def test_no_buckets_or_a_length_below_0_is_a_problem(wrong):
    with pytest.raises(Problem):
        Subwords(*wrong)


@pytest.mark.reference
@pytest.mark.parametrize(("minimum", "maximum", "buckets"), [(3, 6, 2_000_000), (1, 3, 1009)])
def test_ngrams_are_those_of_the_authors_program(tmp_path, minimum, maximum, buckets):
    """On 10,000 words of several scripts, within the vocabulary and without."""
    fasttext = pytest.importorskip("fasttext")
    words = drawn_words(10_000, seed=2)
    text = tmp_path / "text"
    text.write_text("".join(word + "\n" for word in words[::2]))
    theirs = fasttext.train_unsupervised(str(text), minn=minimum, maxn=maximum, bucket=buckets, dim=1, epoch=1,
                                         minCount=1, thread=1, verbose=0)
    subwords = Subwords(minimum, maximum, buckets)
    starts, table = subwords.table(words)
    size = len(theirs.words)
    for v, word in enumerate(words):
        ids = np.asarray(theirs.get_subwords(word)[1])
        assert (ids[ids >= size] - size).tolist() == table[starts[v] : starts[v + 1]].tolist(), word


def test_the_table_of_some_words_has_a_row_for_each_bucket_that_they_use():
    words, subwords = ["where", "here", "aaaaa", "</s>"], Subwords(3, 4, 50)
    table = subwords.rows(words)
    assert (np.diff(table.buckets) > 0).all()
    for v, word in enumerate(words):
        own, *ngrams = table.rows[table.starts[v] : table.starts[v + 1]].tolist()
        assert own == v
        assert [table.buckets[row - len(words)] for row in ngrams] == subwords.ngrams(word).tolist()


def test_numbers_may_be_places_among_the_buckets_that_are_used():
    plain = Subwords(3, 4, 50)
    table = plain.rows(["where", "here"])
    some = Subwords(3, 4, 50, table.buckets)
    rows = np.random.default_rng(0).normal(size=(len(table.buckets) + 1, 2))
    rows[-1] = 0
    whole = some.expanded(rows)
    assert whole.shape == (50, 2) and plain.expanded(whole) is whole
    for word in ("where", "nowhere", "xyz"):
        assert (rows[some.ngrams(word)] == whole[plain.ngrams(word)]).all()
    assert not whole[np.setdiff1d(np.arange(50), table.buckets)].any()
    nothing = Subwords(3, 4, 50, np.zeros(0, np.int64))
    assert nothing.ngrams("cat").tolist() == [0] * len(plain.ngrams("cat"))
