"""ELMo's characters against a loop over their definition."""
import numpy as np
import pytest
from nasty import nasty

from embeddings.problems import Problem
from embeddings.tokenizers.characters import BEGIN, END, PADDING, SIZE, Characters


def by_definition(word: str, places: int) -> list[int]:
    """As the authors' programs do, one number after another: bytes, 256 to 260 for what is no byte, then one more."""
    row = [260] * places
    row[0] = 258
    if word in ("<S>", "</S>"):
        row[1] = 256 if word == "<S>" else 257
        row[2] = 259
    else:
        spelt = word.encode("utf-8", "ignore")[: places - 2]
        for place, byte in enumerate(spelt, start=1):
            row[place] = byte
        row[len(spelt) + 1] = 259
    return [number + 1 for number in row]


@pytest.mark.parametrize("places", [50, 3, 12])
def test_ids_are_those_of_the_definition(places):
    words = ["", "a", "Straße", "x" * 48, "x" * 49, "字" * 30, BEGIN, "<s>", END, *nasty(1000)]
    ids = Characters(places).ids(words)
    assert ids.dtype == np.int32 and ids.shape == (len(words), places) and ids.max() < SIZE
    for word, row in zip(words, ids, strict=True):
        assert row.tolist() == by_definition(word, places), ascii(word)


def test_published_ids():
    """What AllenNLP's own test of its mapper expects of a word of two letters of two bytes, and of <S>."""
    row = Characters().ids([chr(256) + chr(257), BEGIN])
    assert row[0].tolist() == [259, 197, 129, 197, 130, 260] + [PADDING] * 44
    assert row[1].tolist() == [259, 257, 260] + [PADDING] * 47


def test_no_words():
    assert Characters().ids([]).shape == (0, 50)


def test_bad_input():
    with pytest.raises(Problem, match="word 1 is a NoneType, not a string: None"):
        Characters().ids(["a", None])
    with pytest.raises(Problem, match="2 characters a word"):
        Characters(2)
