"""Texts in, vectors out: what `embeddings.load` gives back, and the everyday questions it answers.

A text is encoded as the mean of the vectors of its known words, cut by the tokenizer that the vectors were made with,
or by SIF (sif.py). Where the vectors come with rows of n-grams, any word is known that has one of them.
"""
import dataclasses
import difflib
import functools
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse
from jaxtyping import Bool, Float, Int

from embeddings import similarity
from embeddings.corpus.vocabulary import Vocabulary
from embeddings.experiment import Experiment
from embeddings.formats import detection, hub
from embeddings.formats.counts import read_counts
from embeddings.formats.ngrams import composed
from embeddings.formats.vectors import utf8
from embeddings.problems import Problem, UsageProblem
from embeddings.sif import SIF_A, first_component, sif_weights, without, zipf
from embeddings.tokenizers.subwords import Subwords
from embeddings.tokenizers.words import Words

SPELLINGS_FROM = 30000
"""Most frequent words that the spelling of an unknown word is compared with."""
TEXTS_AT_ONCE = 16384
"""Texts cut into words at a time: bounds the memory for all but their vectors."""
MODEL_FILES = ("modules.json", "config.json")
"""A folder with one of these is of a contextual model."""

Pooling = Literal["mean", "sif"]


class UnknownWord(Problem, KeyError):
    """A word without a vector."""

    __str__ = Exception.__str__


class UnknownText(UserWarning):
    """Texts without a known word were encoded as zeros."""

    meaning = "have no known word: zeros"

    def __init__(self, message: str, count: int):
        """`count` is how many."""
        super().__init__(message)
        self.count = count


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
    """How words that are not among `words` become n-grams, where the model has rows for these."""
    ngrams: Float[np.ndarray, "buckets D"] | None = None
    """Those rows, by bucket; the mean of a word's is its vector."""
    stop_words: frozenset[str] = frozenset()
    """Words that texts are encoded without."""

    @functools.cached_property
    def index(self) -> dict[str, int]:
        """Row of each word."""
        return {word: row for row, word in enumerate(self.words)}

    @functools.cached_property
    def _known(self) -> pa.BinaryArray:
        return pa.array([utf8(word) for word in self.words], pa.binary())

    def __contains__(self, word: str) -> bool:
        """Whether the word has a vector, by its n-grams too."""
        return self.row(word) is not None or bool(self.subwords and len(self.subwords.ngrams(self._cased(word))))

    def __getitem__(self, word: str) -> Float[np.ndarray, "D"]:
        """The vector of a word, as it stands there or else in the tokenizer's case, or else the mean of its n-grams'.

        Raises UnknownWord, which is a KeyError and names known words that are spelt much like it.
        """
        row = self.row(word)
        if row is not None:
            return np.asarray(self.vectors[row])
        if word in self:
            return composed([self._cased(word)], self.subwords, self.ngrams)[0]
        near = difflib.get_close_matches(word.lower(), self.words[:SPELLINGS_FROM], n=3)
        raise UnknownWord(f"{word!r} is not among the {len(self.words):,} words of the model; "
                          + (f"spelt much like it: {', '.join(near)}" if near else "try another word"))

    def row(self, word: str) -> int | None:
        """Row of a word, as it stands there or else in the tokenizer's case; None where it has none."""
        row = self.index.get(word)
        return self.index.get(self._cased(word)) if row is None else row

    def _cased(self, word: str) -> str:
        return word.lower() if self.tokenizer.lower else word

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, texts: str | Sequence[str], pooling: Pooling = "mean") -> Float[np.ndarray, "n D"]:
        """One row a text (a single string is one text): the mean vector of its known words, each as often as it stands.

        With pooling="sif", words count by their rarity, and the component that these texts have in common is taken
        out, so that a row depends on the texts beside it: see `sif`, which fixes that component. Either differs from
        fastText's get_sentence_vector, the mean of word vectors each scaled to length 1.

        A text without a known word gives zeros; a warning UnknownText says how many there were.
        """
        if pooling == "sif":
            vectors = self.pooled(texts, self.sif_weights())
            return without(vectors, first_component(vectors))
        return self.pooled(texts)

    def sif(self, texts: Sequence[str], a: float = SIF_A) -> "Sif":
        """An encoder by SIF whose common component is that of these texts, for any other texts."""
        weights = self.sif_weights(a)
        return Sif(self, weights, first_component(self.pooled(texts, weights)))

    def sif_weights(self, a: float = SIF_A) -> Float[np.ndarray, "V"]:
        """SIF's weight of each word: p(w) by the counts, or where those are not known by Zipf's law from the ranks."""
        return sif_weights(zipf(len(self.words)) if self.counts is None else self.counts / self.counts.sum(), a)

    def pooled(
        self, texts: str | Sequence[str], weights: Float[np.ndarray, "V"] | None = None
    ) -> Float[np.ndarray, "n D"]:
        """Sums of the vectors of each text's known words, each times its weight (1), divided by their number.

        A word known by its n-grams alone has weight 1. Texts without a known word give zeros and a warning UnknownText.
        """
        texts = [texts] if isinstance(texts, str) else texts
        parts = [self._sums(texts[at : at + TEXTS_AT_ONCE], weights)
                 for at in range(0, max(len(texts), 1), TEXTS_AT_ONCE)]
        sums, known = (np.concatenate(part) for part in zip(*parts, strict=True))
        if not known.all():
            missing = int(np.count_nonzero(known == 0))
            said = f"{missing} of {len(texts)} texts have no known word: zeros"
            warnings.warn(UnknownText(said, missing), stacklevel=3)
        return (sums / np.maximum(known, 1)[:, None]).astype(np.float32)

    def _sums(
        self, texts: Sequence[str], weights: Float[np.ndarray, "V"] | None
    ) -> tuple[Float[np.ndarray, "n D"], Int[np.ndarray, "n"]]:
        """Weighted sum of the vectors of the known words of each text, and how many there are."""
        lines = (" ".join(text.split("\n")).encode("utf-8", "replace") for text in texts)
        words, starts = self.tokenizer.lines(b"".join(line + b"\n" for line in lines))
        distinct = words.cast(pa.binary()).dictionary_encode()
        table, scales, known = self._looked_up(distinct.dictionary, weights)
        words = distinct.indices.to_numpy()
        starts = np.concatenate([[0], np.cumsum(known[words])])[starts]
        words = words[known[words]]
        occurrences = scipy.sparse.csr_matrix((scales[words], words, starts), (len(texts), len(table)))
        return occurrences @ table, np.diff(starts)

    def _looked_up(
        self, words: pa.BinaryArray, weights: Float[np.ndarray, "V"] | None
    ) -> tuple[Float[np.ndarray, "n D"], Float[np.ndarray, "n"], Bool[np.ndarray, "n"]]:
        """Vectors and weights of words, and which of them are known."""
        rows = pc.fill_null(pc.index_in(words, value_set=self._known), -1).to_numpy()
        table, known = np.asarray(self.vectors[np.maximum(rows, 0)]), rows >= 0
        scales = np.where(known, 1 if weights is None else weights[rows], 1).astype(np.float32)
        if self.subwords and not known.all():
            new = np.flatnonzero(~known)
            strange = words.take(pa.array(new)).to_pylist()
            table[new] = composed(strange, self.subwords, self.ngrams)
            known[new] = np.diff(self.subwords.table(strange)[0]) > 0
        stop = pa.array(map(utf8, self.stop_words), pa.binary())
        return table, scales, known & ~np.asarray(pc.is_in(words, value_set=stop))

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
        asked = [*positive, *negative]
        signs = np.array([1] * len(positive) + [-1] * len(negative), np.float32)
        query = (signs[:, None] * np.asarray(similarity.unit(np.stack([self[word] for word in asked])))).mean(axis=0)
        rows = np.array([-1 if row is None else row for row in map(self.row, asked)])
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
        subwords = Subwords(part.min_ngram, part.max_ngram, part.buckets, tables.buckets.astype(np.int64))
    return WordVectors(vocabulary.words, tables.words, vocabulary.counts, cut, subwords, tables.ngrams)


@dataclasses.dataclass(frozen=True, eq=False)
class Sif:
    """Encodes texts by SIF with a component that was taken from texts before (WordVectors.sif)."""

    vectors: WordVectors
    weights: Float[np.ndarray, "V"]
    """Of each word."""
    component: Float[np.ndarray, "D"]
    """What is taken out, of length 1."""

    def encode(self, texts: str | Sequence[str]) -> Float[np.ndarray, "n D"]:
        """One row a text, as WordVectors.encode; it does not depend on the other texts."""
        return without(self.vectors.pooled(texts, self.weights), self.component)


def load(
    path: str | Path,
    tokenizer: Literal["words", "whitespace"] | None = None,
    lower: bool | None = None,
    counts: str | Path | None = None,
    dtype: Literal["float32", "bfloat16"] = "float32",
) -> Any:
    """What a path or a name stands for, as something with `.encode(texts)`: WordVectors, Contextual or Elmo.

    That is a run's folder; a file of word vectors of any format that formats/detection.py knows, by its content; a
    folder of transformers (those with a head have `.classify` or `.predict`, `.tag`, `.answer`), of
    sentence-transformers or with ELMo's two files; or a model's name on the Hugging Face hub.

    Args:
        path: folder, file or name; text files and word2vec's binary may be .gz.
        tokenizer: how texts are cut for word vectors and ELMo, see tokenizers/words.py; None takes a run's own, else
            `words`.
        lower: whether they are lower-cased; None takes a run's own, for files whether all their words are so, for ELMo
            no.
        counts: file with a word, a blank or tab and its count a line, for SIF where word vectors bring none.
        dtype: what a contextual model's products are taken in.

    Raises Problem, one line, when nothing readable is there.
    """
    path = Path(path)
    if not path.exists() and hub.is_name(str(path)):
        path = hub.fetched(str(path))
    if any((path / name).is_file() for name in MODEL_FILES):
        from embeddings.contextual import folder  # late: contextual models need Flax and tokenizers, words don't

        _check_none(path, tokenizer, lower, counts)
        return folder.read(path, dtype)
    if path.is_dir() and any(path.glob("*weights.hdf5")):
        from embeddings.contextual import elmo

        if counts is not None:
            raise UsageProblem(f"{path}: counts are for word vectors: leave them out")
        return dataclasses.replace(elmo.read(path, dtype), tokenizer=Words(tokenizer or "words", bool(lower)))
    if path.is_dir():
        from embeddings.training import run_folder  # late: Orbax takes a second to import and files need none

        if run_folder.read_experiment(path).contextual:
            from embeddings.contextual import folder

            _check_none(path, tokenizer, lower, counts)
            return folder.read_run(path, None if dtype == "float32" else dtype)
        vectors = encoded(*run_folder.read_tables(path))
    elif path.exists():
        held = detection.read(path)
        cut = Words(lower=not any(word != word.lower() for word in held.words))
        vectors = WordVectors(held.words, held.vectors, held.counts, cut, held.subwords, held.ngrams)
    else:
        raise Problem(f"{path}: no such run folder, model folder or file of vectors")
    cut = vectors.tokenizer
    cut = Words(tokenizer or cut.tokenizer, cut.lower if lower is None else lower)
    seen = vectors.counts if counts is None else read_counts(Path(counts), vectors.index)
    return dataclasses.replace(vectors, tokenizer=cut, counts=seen)


def _check_none(path: Path, *given: Any) -> None:
    """Raises UsageProblem where something is given that a model brings with it."""
    if any(one is not None for one in given):
        raise UsageProblem(f"{path}: tokenizer, lower and counts are for word vectors; this model has a tokenizer")
