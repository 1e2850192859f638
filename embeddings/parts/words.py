"""Word vectors: how text becomes words, and the models of words. See experiment.py."""
import dataclasses
from typing import Annotated, Literal

from embeddings.fields import AboveZero, Amount, Count, Positive, Range, Share


@dataclasses.dataclass(frozen=True)
class Text:
    """How files become lines of words."""

    tokenizer: Literal["words", "whitespace"] = "words"
    """words: runs of letters, marks and digits; whitespace: whatever stands between blanks. ELMo below a head of
    sentences or answers cuts texts as it did before unless whitespace is asked for; a tagger's words are given."""
    lower: bool = True
    """Whether upper case is folded to lower case."""
    field: tuple[str, ...] = ("text",)
    """Columns of .jsonl and .parquet records to read, in this order."""
    invalid_utf8: Literal["error", "replace"] = "error"
    """What to do with bytes that are not UTF-8: error, or replace (by U+FFFD, counted)."""


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Which words have a vector."""

    min_count: Positive = 5
    """Words seen less often than this are left out."""
    max_size: Count = 0
    """Keep at most this many words, the most frequent ones; 0 keeps all."""


@dataclasses.dataclass(frozen=True)
class Word2Vec:
    """Skip-gram and CBOW (Mikolov et al. 2013)."""

    algorithm: Literal["skipgram", "cbow"] = "skipgram"
    """Whether a centre predicts each word around it (skipgram), or their mean predicts the centre (cbow)."""
    loss: Literal["negative_sampling", "nce", "hierarchical_softmax", "adaptive_softmax", "softmax"] = (
        "negative_sampling"
    )
    """What a predicted word is scored against: drawn noise words (negative_sampling; nce with their probabilities), the
    turns on its way down a Huffman tree, clusters of words by frequency, or all words. The first three update rows."""
    clusters: Positive = 2
    """Clusters of rare words of an adaptive softmax; they begin where that costs least."""
    mean_gradient: Literal["authors", "exact"] = "authors"
    """What each row of a mean gets of its gradient: all of it, as the authors' programs do, or its share."""
    width: Positive = 100
    """Length of a word vector, D."""
    window: Positive = 5
    """Words to each side of a centre at most; the reach of a centre is drawn uniformly from 1 to this."""
    negatives: Positive = 5
    """Noise words a pair, k."""
    noise_power: Amount = 0.75
    """Noise words are drawn from counts to this power."""
    subsample: Share = 1e-3
    """Words more frequent than this share of the corpus are dropped at random; 0 drops none."""
    piece: Count = 0
    """Words that are read as they stand; an epoch reads pieces of so many in an order of its own. 0 reads the corpus in
    order, as the authors' programs do."""
    burst: Annotated[int, Range(at_least=0, below=64)] = 4
    """A word is kept at most this often among 64 consecutive kept words, so that no step gets too long; 0 keeps all."""
    block: Positive = 32
    """Consecutive centres that share their noise words, B."""
    shared_negatives: Positive = 64
    """Noise words drawn for a block, N; each is weighted so that a pair sees k in expectation."""
    chunk: Positive = 64
    """Kept words an update: a multiple of block."""


@dataclasses.dataclass(frozen=True)
class FastText(Word2Vec):
    """Skip-gram and CBOW over words and their character n-grams (Bojanowski et al. 2017). Settings as of word2vec."""

    min_ngram: Positive = 3
    """Shortest n-gram, in characters; the word's ends count as one each."""
    max_ngram: Count = 6
    """Longest n-gram, in characters; 0 makes no n-grams."""
    buckets: Positive = 2_000_000
    """Rows that n-grams share by their hash."""
    position_weights: bool = False
    """Whether each place of a CBOW window has a trained weight of its own (Mikolov et al. 2018)."""


@dataclasses.dataclass(frozen=True)
class Glove:
    """GloVe (Pennington et al. 2014), from counts of words seen together."""

    width: Positive = 100
    """Length of a word vector, D."""
    window: Positive = 15
    """Words to each side at most that a word is counted with."""
    symmetric: bool = True
    """Whether words after it are counted too, or only those before it."""
    distance_weighting: bool = True
    """Whether a pair at distance d counts 1/d, or 1."""
    x_max: AboveZero = 100.0
    """Count from which on a pair has full weight."""
    alpha: Amount = 0.75
    """Exponent of the weight below x_max."""
    chunk: Positive = 512
    """Pairs an update."""
