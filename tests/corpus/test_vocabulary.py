"""Counts of words against collections.Counter."""
import collections
import random
from pathlib import Path

import numpy as np
import pytest

from embeddings import experiment
from embeddings.corpus import vocabulary
from embeddings.corpus.documents import Block
from embeddings.corpus.vocabulary import Counter, Vocabulary, count, numbered
from embeddings.problems import Problem
from embeddings.tokenizers.words import Words

NOWHERE = Path("corpus.txt")


def blocks(seed: int = 0, number: int = 20, words: int = 500, distinct: int = 300) -> list[Block]:
    """Blocks of lines of words, Zipf-like, some beyond ASCII."""
    draw = random.Random(seed)
    names = [f"w{n}" if n % 3 else f"é{n}" for n in range(distinct)]
    texts = []
    for _ in range(number):
        drawn = draw.choices(names, [1 / (n + 1) for n in range(distinct)], k=words)
        text = "".join(word + draw.choice(["\n", " ", "  ", "\n\n"]) for word in drawn)
        texts.append(Block(text.encode(), NOWHERE))
    return texts


def expected(texts: list[Block], min_count: int) -> list[tuple[str, int]]:
    counts = collections.Counter(word for block in texts for word in block.text.decode().split())
    return sorted(((w, c) for w, c in counts.items() if c >= min_count), key=lambda pair: (-pair[1], pair[0]))


@pytest.mark.parametrize("min_count", [1, 5, 40])
@pytest.mark.parametrize("workers", [1, 3])
def test_counts_are_exact_whatever_the_threads(min_count, workers):
    texts = blocks()
    made = count(texts, Words(), experiment.Vocabulary(min_count=min_count), workers)
    assert list(zip(made.words, made.counts.tolist(), strict=True)) == expected(texts, min_count)
    assert made.total == 20 * 500
    assert made.note == ""
    assert made.index == {word: number for number, word in enumerate(made.words)}


def test_counts_are_exact_when_merged_often(monkeypatch):
    monkeypatch.setattr(vocabulary, "MERGED", 100)
    texts = blocks()
    made = count(texts, Words(), experiment.Vocabulary(min_count=1))
    assert list(zip(made.words, made.counts.tolist(), strict=True)) == expected(texts, 1)


def test_the_size_is_limited_to_the_most_frequent():
    texts = blocks()
    made = count(texts, Words(), experiment.Vocabulary(min_count=1, max_size=10))
    assert list(zip(made.words, made.counts.tolist(), strict=True)) == expected(texts, 1)[:10]
    assert made.note == f"only the 10 most frequent of {len(expected(texts, 1))} words have a vector " \
                        "(--vocabulary.max_size)"


def test_rare_words_are_forgotten_beyond_the_limit(monkeypatch):
    """The loss stays within what the note says, and doesn't depend on the threads."""
    monkeypatch.setattr(vocabulary, "MERGED", 100)
    texts = blocks(distinct=3000)
    made = count(texts, Words(), experiment.Vocabulary(min_count=5), workers=1, limit=500)
    again = count(texts, Words(), experiment.Vocabulary(min_count=5), workers=3, limit=500)
    assert made.words == again.words and made.counts.tolist() == again.counts.tolist()
    true = dict(expected(texts, 1))
    most = int(made.note.split(", by ")[1].split()[0])
    short = [true[word] - n for word, n in zip(made.words, made.counts.tolist(), strict=True)]
    assert min(short) >= 0 and max(short) <= most
    assert made.words[:50] == tuple(word for word, _ in expected(texts, 1)[:50])
    assert made.total == 20 * 500


def test_very_long_words_count_as_many(monkeypatch):
    monkeypatch.setattr(vocabulary, "MERGED", 10)
    texts = [Block(f"{'x' * 1000}{n} often often\n".encode(), NOWHERE) for n in range(100)]
    made = count([*texts, Block(b"twice twice", NOWHERE)], Words(), experiment.Vocabulary(min_count=2), limit=200)
    assert made.words == ("often", "twice") and made.note


def test_numbered_blocks_give_back_their_words():
    texts = blocks(number=3)
    for block, made in zip(texts, numbered(texts, Words(), 2), strict=True):
        words = np.array(made.distinct.to_pylist(), object)[made.numbers].tolist()
        assert words == block.text.decode().split()
        assert made.numbers.dtype == np.uint16 and made.starts[-1] == len(words)
        assert made.block.text == b""


def test_many_distinct_words_need_wider_numbers():
    text = " ".join(f"w{n}" for n in range(70_000))
    (made,) = numbered([Block(text.encode(), NOWHERE)], Words(), 1)
    assert made.numbers.dtype == np.int32 and made.numbers[-1] == 69_999


@pytest.mark.parametrize(
    "text, config, says",
    [
        ("", {}, "no words in it"),
        ("... --- !!!\n", {}, "no words in it"),
        ("one one one one one one", {}, "needs two distinct words"),
        ("a a a b b c", {"min_count": 4}, "lower --vocabulary.min_count=4 to 2 or less"),
        ("a a a b b c", {"min_count": 3}, "6 words, 3 distinct, the most frequent 3 times"),
        ("a a b", {"min_count": 1, "max_size": 1}, "raise --vocabulary.max_size=1"),
    ],
)
def test_too_few_words(text, config, says):
    with pytest.raises(Problem) as caught:
        count([Block(text.encode(), NOWHERE)], Words(), experiment.Vocabulary(**config))
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_a_message_names_the_corpus():
    with pytest.raises(Problem, match="texts/: no words in it"):
        Counter().vocabulary(experiment.Vocabulary(), "texts/")


def test_a_vocabulary_is_read_as_it_was_saved(tmp_path):
    made = Vocabulary(("the", "#", "中", "\ufeffx", "a"), np.array([9, 5, 5, 1, 1]), 30)
    made.save(tmp_path / "v.tsv")
    assert (tmp_path / "v.tsv").read_text().startswith("# words read: 30\nthe\t9\n#\t5\n")
    again = Vocabulary.load(tmp_path / "v.tsv")
    assert again.words == made.words and again.counts.tolist() == made.counts.tolist() and again.total == 30
    assert [file.name for file in tmp_path.iterdir()] == ["v.tsv"]


@pytest.mark.parametrize(
    "content, line, says",
    [
        ("", 1, "words read"),
        ("the\t9\n", 1, "words read"),
        ("# words read: x\nthe\t9\n", 1, "words read"),
        ("# words read: 30\nthe\t9\na\t1", 3, "cut off"),
        ("# words read: 30\nthe\t9\na\n", 3, "a tab"),
        ("# words read: 30\nthe\t9\n\n", 3, "a tab"),
        ("# words read: 30\nthe\t9\t1\n", 2, "a tab"),
        ("# words read: 30\nthe\t0\n", 2, "a tab"),
        ("# words read: 30\nthe\t-1\n", 2, "a tab"),
        ("# words read: 30\nthe\t9\na\t5\nthe\t1\n", 4, "twice"),
        ("# words read: 30\nthe\t9\na\t5\nb\t6\n", 4, "larger"),
        ("# words read: 3\nthe\t9\n", 1, "add up"),
    ],
)
def test_a_damaged_vocabulary(tmp_path, content, line, says):
    file = tmp_path / "v.tsv"
    file.write_text(content)
    with pytest.raises(Problem) as caught:
        Vocabulary.load(file)
    assert str(caught.value).startswith(f"{file}:{line}: ") and says in str(caught.value)


def test_a_vocabulary_that_is_no_text(tmp_path):
    (tmp_path / "v.tsv").write_bytes(b"# words read: 3\n\xff")
    with pytest.raises(Problem, match="not UTF-8 at byte 16"):
        Vocabulary.load(tmp_path / "v.tsv")
    with pytest.raises(Problem, match="cannot be read: No such file"):
        Vocabulary.load(tmp_path / "missing.tsv")
