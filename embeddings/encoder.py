"""Texts in, vectors out: what `embeddings.load` gives back, and the everyday questions it answers.

A text is encoded as the mean of the vectors of its known words, cut by the tokenizer that the vectors were made with.
"""
import dataclasses
import difflib
import functools
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse
from jaxtyping import Float, Int

from embeddings import similarity
from embeddings.corpus.vocabulary import Vocabulary
from embeddings.experiment import Experiment
from embeddings.problems import Problem
from embeddings.tokenizers.subwords import Subwords
from embeddings.tokenizers.words import Words

SPELLINGS_FROM = 30000
"""Most frequent words that the spelling of an unknown word is compared with."""
TEXTS_AT_ONCE = 16384
"""Texts cut into words at a time: bounds the memory for all but their vectors."""


class UnknownWord(Problem, KeyError):
    """A word without a vector; the message names known words that are spelt much like it."""

    __str__ = Exception.__str__


class UnknownText(UserWarning):
    """Texts without a known word were encoded as zeros."""


@dataclasses.dataclass(frozen=True, eq=False)
class WordVectors:
    """Words and their vectors."""

    words: tuple[str, ...]
    """V different words, most frequent first."""
    vectors: Float[np.ndarray, "V D"]
    """Row i is the vector of words[i]."""
    counts: Int[np.ndarray, "V"] | None = None
    """How often each word was seen in training, where that is known."""
    tokenizer: Words = dataclasses.field(default_factory=Words)
    """How a text becomes words."""
    subwords: Subwords | None = None
    """How a word becomes n-grams, where the model knows them."""
    ngrams: Float[np.ndarray, "buckets D"] | None = None
    """Rows of the buckets of n-grams."""

    @functools.cached_property
    def index(self) -> dict[str, int]:
        """Row of each word."""
        return {word: row for row, word in enumerate(self.words)}

    @functools.cached_property
    def _known(self) -> pa.StringArray:
        return pa.array(self.words, pa.string())

    def row(self, word: str) -> int:
        """Row of a word, in the tokenizer's case where it isn't known as written. Raises UnknownWord."""
        row = self.index.get(word)
        if row is None and self.tokenizer.lower:
            row = self.index.get(word.lower())
        if row is None:
            near = difflib.get_close_matches(word.lower(), self.words[:SPELLINGS_FROM], n=3)
            raise UnknownWord(f"{word!r} is not among the {len(self.words):,} words of the model; "
                              + (f"spelt much like it: {', '.join(near)}" if near else "try another word"))
        return row

    def __contains__(self, word: str) -> bool:
        return word in self.index or (self.tokenizer.lower and word.lower() in self.index)

    def __getitem__(self, word: str) -> Float[np.ndarray, "D"]:
        """The vector of a word. Raises UnknownWord, which is a KeyError."""
        return self.vectors[self.row(word)]

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, texts: str | Sequence[str]) -> Float[np.ndarray, "n D"]:
        """One row a text (a single string is one text): the mean vector of its known words, each as often as it stands.

        A text without a known word gives zeros; a warning UnknownText says how many there were.
        """
        texts = [texts] if isinstance(texts, str) else texts
        parts = [self._sums(texts[at : at + TEXTS_AT_ONCE]) for at in range(0, max(len(texts), 1), TEXTS_AT_ONCE)]
        sums, known = (np.concatenate(part) for part in zip(*parts, strict=True))
        if not known.all():
            missing = f"{np.count_nonzero(known == 0)} of {len(texts)} texts have no known word: zeros"
            warnings.warn(missing, UnknownText, stacklevel=2)
        return (sums / np.maximum(known, 1)[:, None]).astype(self.vectors.dtype)

    def _sums(self, texts: Sequence[str]) -> tuple[Float[np.ndarray, "n D"], Int[np.ndarray, "n"]]:
        """Sum of the vectors of the known words of each text, and how many there are."""
        lines = (" ".join(text.split("\n")).encode("utf-8", "replace") for text in texts)
        words, starts = self.tokenizer.lines(b"".join(line + b"\n" for line in lines))
        rows = pc.index_in(words, value_set=self._known)
        starts = np.concatenate([[0], np.cumsum(np.asarray(rows.is_valid()))])[starts]
        rows = np.asarray(rows.drop_null())
        shape = (len(texts), len(self.words))
        occurrences = scipy.sparse.csr_matrix((np.ones(len(rows), np.float32), rows, starts), shape)
        return occurrences @ self.vectors, np.diff(starts)

    def most_similar(
        self, positive: str | Sequence[str], negative: str | Sequence[str] = (), k: int = 10
    ) -> list[tuple[str, float]]:
        """The k words whose vectors have the largest cosine with the mean of the positive and minus the negative words.

        Words are scaled to length 1 before the mean, and are not given as answers. Raises UnknownWord, and ValueError
        where there is no positive word or k is below 1.
        """
        positive = [positive] if isinstance(positive, str) else list(positive)
        negative = [negative] if isinstance(negative, str) else list(negative)
        if not positive or k < 1:
            raise ValueError("most_similar needs a positive word and k of 1 at least")
        rows = np.array([self.row(word) for word in [*positive, *negative]])
        signs = np.array([1] * len(positive) + [-1] * len(negative), np.float32)
        query = (signs[:, None] * np.asarray(similarity.unit(self.vectors[rows]))).mean(axis=0)
        scores, found = similarity.top_k(query[None], self.vectors, k, exclude=rows[None])
        return [(self.words[row], float(score)) for score, row in zip(scores[0], found[0], strict=True) if row >= 0]

    def analogy(self, a: str, b: str, c: str, k: int = 1) -> list[tuple[str, float]]:
        """The k best answers to `a is to b as c is to ?`: 3CosAdd, most_similar of b - a + c. Raises UnknownWord."""
        return self.most_similar([b, c], [a], k)

    def similarity(self, a: str, b: str) -> float:
        """Cosine of the vectors of two words. Raises UnknownWord."""
        return float(similarity.cosine(self[a][None], self[b][None])[0, 0])


def encoded(settings: Experiment, vocabulary: Vocabulary, tables: Any) -> WordVectors:
    """What a run's tables (training.job.Tables) are used as."""
    cut = Words(settings.text.tokenizer, settings.text.lower)
    subwords = None
    if tables.ngrams is not None:
        part = settings.fasttext
        subwords = Subwords(part.min_ngram, part.max_ngram, part.buckets)
    return WordVectors(vocabulary.words, tables.words, vocabulary.counts, cut, subwords, tables.ngrams)


def load(path: str | Path) -> WordVectors:
    """The vectors of a run's folder, or of a word2vec text file (`V D`, then a word and D numbers a line).

    Raises Problem, one line, when nothing readable is there.
    """
    path = Path(path)
    if path.is_dir():
        from embeddings.training import run_folder  # late: Orbax takes a second to import and text files need none

        return encoded(*run_folder.read_tables(path))
    if not path.is_file():
        raise Problem(f"{path}: no such run folder or file of vectors")
    words, vectors = read_word2vec_text(path)
    return WordVectors(words, vectors, tokenizer=Words(lower=not any(word != word.lower() for word in words)))


def read_word2vec_text(path: Path) -> tuple[tuple[str, ...], Float[np.ndarray, "V D"]]:
    """Words and vectors of a text file as word2vec writes it. Raises Problem with file and line."""
    words: dict[str, int] = {}
    rows: list[np.ndarray] = []
    number = 1
    try:
        with path.open(encoding="utf-8", newline="\n") as lines:
            count, width = _header(next(lines, ""), path)
            for number, line in enumerate(lines, 2):
                word, *values = line.rstrip(" \r\n").split(" ")
                row = np.array(values, dtype=np.float32)
                if len(row) != width or not np.isfinite(row).all():
                    raise ValueError
                if words.setdefault(word, len(rows)) != len(rows):
                    raise Problem(f"{path}:{number}: the word {word!r} stands here a second time")
                rows.append(row)
    except UnicodeDecodeError:
        raise Problem(f"{path}: not UTF-8 text after line {number}: this is no text file of vectors") from None
    except ValueError:
        raise Problem(f"{path}:{number}: expected a word and {width} finite numbers, parted by single blanks") from None
    if len(rows) != count:
        raise Problem(f"{path}:1: the first line announces {count} words, the file has {len(rows)}")
    return tuple(words), np.stack(rows)


def _header(line: str, path: Path) -> tuple[int, int]:
    parts = line.split()
    if len(parts) != 2 or not all(part.isdecimal() and int(part) for part in parts):
        raise Problem(f"{path}:1: expected the number of words and the length of a vector, as in `5000 100`")
    return int(parts[0]), int(parts[1])
