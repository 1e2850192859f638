"""What is told of tokens: which one is a word's first, where answers are, windows of long texts."""
import dataclasses
import itertools

import numpy as np
import pytest
import small

from embeddings.contextual import passages
from embeddings.contextual import tokens as marking
from embeddings.objectives.tokens import END, START
from embeddings.problems import UsageProblem

WORDS = [("the", "banks", "of", "money"), ("\u200b", "walked", "by"), (), ("money",) * 40]


@pytest.fixture
def pieces(tmp_path):
    return small.tokenizer(tmp_path)


def test_a_words_tag_stands_at_its_first_token(pieces):
    read = marking.sentences(pieces, WORDS, small.LONGEST)
    tags = [tuple("XY"[n % 2] for n in range(len(some))) for some in WORDS]
    marks = marking.tagged(WORDS, tags, ("O", "X", "Y"), read)
    found = [[(small.TOKENS[i], int(mark)) for i, mark in zip(read.ids[a:b], marks[a:b], strict=True)]
             for a, b in itertools.pairwise(read.starts)]
    assert found[0] == [("[CLS]", 0), ("the", 2), ("bank", 3), ("##s", 0), ("of", 2), ("money", 3), ("[SEP]", 0)]
    assert found[1] == [("[CLS]", 0), ("walk", 3), ("##ed", 0), ("by", 2), ("[SEP]", 0)]  # a word without a token
    assert found[2] == [("[CLS]", 0), ("[SEP]", 0)]
    assert sum(mark > 0 for window in found[3:] for _, mark in window) == 40  # in several windows


def test_a_token_of_nothing_but_the_blank_before_a_word_is_of_that_word():
    """As unigrams and bytes have it where no piece begins with a blank and the word's first letter."""
    offsets = np.array([[0, 0], [0, 2], [2, 3], [3, 4], [4, 6], [0, 0], [0, 1], [1, 2], [2, 4]])
    found = marking.of_words([("ab", "cde"), ("x", "yz")], offsets, np.array([0] * 6 + [1] * 3))
    assert [part.tolist() for part in found] == [[1, 2, 3, 4, 6, 7, 8], [0, 1, 1, 1, 2, 3, 3]]


def test_words_are_tagged_by_their_first_tokens(pieces):
    head = marking.Tagger(("O", "X"), {"kernel": np.array([[0.0, 1.0]]), "bias": np.array([0.0, -0.5])})

    def states(read):
        """1 where a token is `the` or `money`."""
        return [np.isin(read.ids[a:b], [5, 8])[:, None] * 1.0 for a, b in itertools.pairwise(read.starts)]

    assert small.TOKENS[5] == "the" and small.TOKENS[8] == "money"
    tags = head.tag(pieces, small.LONGEST, states, WORDS)
    assert tags == [("X", "O", "O", "X"), ("O", "O", "O"), (), ("X",) * 40]
    assert head.tag(pieces, small.LONGEST, states, []) == []


def test_a_long_text_is_read_in_windows_beside_its_question(pieces):
    text = "one two three four five " * 6
    read = passages.read(pieces, ["the bank of"], [text], 16, 4)
    windows = [read.ids[a:b] for a, b in itertools.pairwise(read.starts)]
    assert all(len(ids) <= 16 and [small.TOKENS[i] for i in ids[:5]] == "[CLS] the bank of [SEP]".split()
               for ids in windows)
    spans = [read.offsets[a:b] for a, b in itertools.pairwise(read.starts)]
    of_text = [[text[a:b] for a, b in some if b > a] for some in spans]
    assert all(one[-4:] == two[:4] for one, two in itertools.pairwise(of_text))
    assert [*of_text[0], *itertools.chain(*(some[4:] for some in of_text[1:]))] == text.split()
    assert all(set(read.types[a:b][5:]) == {1} for a, b in itertools.pairwise(read.starts))
    with pytest.raises(UsageProblem, match="leave 10 for a text beside its question, and windows overlap by 10"):
        passages.read(pieces, ["the bank of"], [text], 16, 10)


def test_an_answer_is_marked_where_a_window_holds_all_of_it(pieces):
    text = "one two three four five one two three four five"
    read = passages.read(pieces, ["the", "the", "the"], [text] * 3, 12, 3)
    marks = marking.spanned([(24, 31), None, (10, 13)], read)  # "one two", none, "ree"
    assert text[24:31] == "one two"
    found = []
    for a, b, owner in zip(read.starts[:-1], read.starts[1:], read.owner, strict=True):
        of, spans = marks[a:b], read.offsets[a:b]
        start, end = (int(np.flatnonzero(of & bit)[0]) for bit in (START, END))
        assert [(of & bit > 0).sum() for bit in (START, END)] == [1, 1]
        found.append((int(owner), "" if start == 0 else text[spans[start, 0] : spans[end, 1]]))
    assert [answer for owner, answer in found if owner == 1] == [""] * (len(found) // 3)
    assert {answer for owner, answer in found if owner == 0} == {"one two"}  # in what both windows have
    assert {answer for owner, answer in found if owner == 2} == {"", "three"}  # tokens that the span touches


def test_the_likeliest_span_is_that_of_a_loop_over_all():
    draw = np.random.default_rng(0)
    for N, longest in ((1, 3), (7, 1), (7, 3), (20, 30)):
        starts, ends = draw.normal(size=(2, N))
        sums = {(i, j): starts[i] + ends[j] for i in range(N) for j in range(i, min(N, i + longest))}
        i, j, score = marking.likeliest(starts, ends, longest)
        assert (i, j) == max(sums, key=sums.get) and score == pytest.approx(sums[i, j])


def test_an_answer_is_the_best_of_all_windows_or_none(pieces):
    text = "one two three four five " * 3 + "money river"
    head = marking.Reader({"kernel": np.eye(2)}, 3, 4, True)

    def states(read):
        """`money` starts, `river` ends, each by 3; no answer has 2 for both."""
        return [np.stack([np.where(read.ids[a:b] == 8, 3.0, 0), np.where(read.ids[a:b] == 7, 3.0, 0)], 1)
                + (read.ids[a:b] == 2)[:, None] * 2.0 for a, b in itertools.pairwise(read.starts)]

    assert [small.TOKENS[i] for i in (8, 7, 2)] == ["money", "river", "[CLS]"]
    asked = [("the", text), ("the", "one two"), ("the", "")]
    found = head.answer(pieces, 12, states, asked)
    assert found[0] == ("money river", len(text) - 11, len(text), 2.0)
    assert [answer.text for answer in found[1:]] == ["", ""] and found[1].score == -4
    always = dataclasses.replace(head, may_be_empty=False).answer(pieces, 12, states, asked)
    assert always[1].text in ("one", "two", "one two") and always[2].text == ""
    assert head.answer(pieces, 12, states, []) == []
