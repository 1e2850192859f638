"""Words against a loop over code points."""
import random
import unicodedata

import numpy as np
import pytest

from embeddings.problems import UsageProblem
from embeddings.tokenizers.words import Words

ALPHABET = "aZ09 \t\n.,'-_éÉßẞ\u0301\u00a0\u2003\u2028½²Ⅷ中文\u3000ʼ“”\u200d\ufeff\u0130ΑΣςД\u0660𝒳😀\x00\x1c\x85"


def by_code_points(text: str, tokenizer: str) -> list[str]:
    """Runs of letters, marks and numbers; or of what isn't white space. Lower case is left to the caller."""
    words, word = [], ""
    for character in text + "\n":
        inside = unicodedata.category(character)[0] in "LMN" if tokenizer == "words" else not character.isspace()
        if inside:
            word += character
        elif word:
            words.append(word)
            word = ""
    return words


@pytest.mark.parametrize("tokenizer", ["words", "whitespace"])
def test_words_are_runs_of_the_right_categories(tokenizer):
    draw = random.Random(0)
    for _ in range(300):
        text = "".join(draw.choices(ALPHABET, k=draw.randrange(30)))
        assert Words(tokenizer, lower=False).split(text) == by_code_points(text, tokenizer), repr(text)


@pytest.mark.parametrize("tokenizer", ["words", "whitespace"])
def test_ascii_and_other_text_are_cut_alike(tokenizer):
    """A block without a character beyond ASCII takes a shorter way; one such character must change nothing else."""
    ascii_text = "".join(map(chr, range(128))) + " Don't STOP-now 3.14_x\n"
    short, long = Words(tokenizer).split(ascii_text), Words(tokenizer).split(ascii_text + "é")
    assert long == [*short, "é"]


def test_lower_case_is_one_code_point_for_one():
    assert Words().split("ÀÉ ẞ ΑΣ Ǆ K") == ["àé", "ß", "ας"[:1] + "σ", "ǆ", "k"]
    assert Words(lower=False).split("Aé É") == ["Aé", "É"]


def test_nothing_has_no_words():
    for text in ("", " ", "\n", "\n\n \n", "...", "“ ”"):
        assert Words().split(text) == []


def test_half_a_surrogate_pair_is_no_letter():
    assert Words().split("a\ud800b") == ["a", "b"]


def test_lines_tell_where_each_line_starts():
    words, starts = Words().lines("One two\n\n . \nthree é\n four".encode())
    assert words.to_pylist() == ["one", "two", "three", "é", "four"]
    assert starts.tolist() == [0, 2, 2, 2, 4, 5]
    words, starts = Words().lines(b"")
    assert len(words) == 0 and starts.tolist() == [0]


def test_lines_and_split_agree():
    draw = random.Random(1)
    lines = ["".join(draw.choices(ALPHABET.replace("\n", ""), k=draw.randrange(20))) for _ in range(200)]
    for tokenizer in ("words", "whitespace"):
        cut = Words(tokenizer)
        words, starts = cut.lines("".join(line + "\n" for line in lines).encode())
        pieces = np.split(np.array(words.to_pylist(), object), starts[1:-1])
        assert [piece.tolist() for piece in pieces] == [cut.split(line) for line in lines]


def test_an_unknown_tokenizer_is_wrong_usage():
    with pytest.raises(UsageProblem, match="tokenizer=bpe"):
        Words("bpe")
