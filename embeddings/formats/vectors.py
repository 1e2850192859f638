"""What a file of word vectors holds, whatever its format."""
import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64

from embeddings.problems import Problem
from embeddings.tokenizers.subwords import Subwords


class RepeatedWord(UserWarning):
    """A word stands in a file more than once; its first vector counts."""


@dataclasses.dataclass(frozen=True, eq=False)
class Vectors:
    """Words and their vectors, and rows for words that are not among them where the model has such.

    Bytes of a word that are no UTF-8 stand in it as surrogates (surrogateescape), so that they can be written again.
    """

    words: tuple[str, ...]
    """V different words in the file's order, which is by frequency in all formats."""
    vectors: Float[np.ndarray, "V D"]
    """Row i is the vector of words[i]; float32."""
    counts: Int64[np.ndarray, "V"] | None = None
    """How often each word was seen in training, where the file says it."""
    subwords: Subwords | None = None
    """How words are cut into n-grams, where the model has such."""
    ngrams: Float[np.ndarray, "buckets D"] | None = None
    """A row for each bucket of n-grams; memory-mapped where it comes from a file."""


def decoded(words: Sequence[bytes]) -> tuple[str, ...]:
    """Words as strings; bytes that are no UTF-8 become surrogates."""
    return tuple(word.decode("utf-8", "surrogateescape") for word in words)


def utf8(word: str) -> bytes:
    """A word's UTF-8, with the bytes again that surrogates stand for. Raises Problem for any other surrogate."""
    try:
        return word.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise Problem(f"the word {word!r} has no UTF-8 form, so no file can hold it: leave it out") from None


def printable(word: str) -> str:
    """A word for a terminal: bytes that are no UTF-8 as `\\xe9`."""
    return word.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def distinct(words: tuple[str, ...], path: Path) -> np.ndarray | None:
    """Rows of the words less those that stand there again; None where all are different. Warns RepeatedWord."""
    first: dict[str, int] = {}
    for row, word in enumerate(words):
        first.setdefault(word, row)
    if len(first) == len(words):
        return None
    rows = np.fromiter(first.values(), np.int64, len(first))
    again = words[int(np.setdiff1d(np.arange(len(words)), rows)[0])]
    repeated = len(words) - len(first)
    warnings.warn(f"{path}: {repeated} vectors are of words that have one already ({again!r} is the first): the first "
                  "of each counts", RepeatedWord, stacklevel=3)
    return rows


def finite(rows: Float[np.ndarray, "n D"], words: Sequence[str]) -> None:
    """Raises Problem naming a word whose vector has a number that is not finite."""
    wrong = ~np.isfinite(rows).all(axis=1)
    if wrong.any():
        word = words[int(wrong.argmax())]
        raise Problem(f"the vector of {word!r} has a number that is not finite: leave the word out")
