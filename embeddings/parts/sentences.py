"""Models of sentences and what is trained on examples of texts. See experiment.py."""
import dataclasses
from typing import Annotated, Literal

from embeddings.fields import AboveZero, Count, Positive, Range
from embeddings.parts.sequences import Transformer


@dataclasses.dataclass(frozen=True)
class Examples:
    """Examples of texts, for models of sentences."""

    sets: tuple[str, ...] = ("python_docs",)
    """Known sets by name (pairs and triplets: python_docs, snli, snli-entailment, snli-triplets, stsb, mrpc,
    mrpc-paraphrases, quora, flickr8k; texts with a class: sst2, sst5, trec, subj, banking77; GLUE's: glue-cola,
    glue-sst-2, glue-mrpc, glue-sts-b, glue-qqp, glue-mnli, glue-qnli, glue-rte; of tagger wnut17, conll2003, ptb-pos;
    of reader squad, squad2, subjqa, xquad), or files: .jsonl, .csv, .tsv, .parquet; of tagger lines of a word, a tab
    and a tag (or as CoNLL's), or a treebank's .mrg, of reader .json as SQuAD's."""
    weights: tuple[float, ...] = ()
    """How much of a batch each set gives; empty goes by their sizes."""
    columns: tuple[str, ...] = ("text1", "text2")
    """Columns of files that hold an example's texts."""
    label: str = ""
    """Column of files that holds its class or score; empty where a loss needs none."""
    classes: tuple[str, ...] = ()
    """Classes in order; empty takes those that are found, sorted."""
    broken: Literal["error", "skip"] = "error"
    """What to do with a row that is not as it should be: error, or skip (counted)."""
    distinct: bool = True
    """Whether an example is left out of a batch for a text that is there already, where others are wrong answers."""


@dataclasses.dataclass(frozen=True)
class SentenceBert(Transformer):
    """Sentence-BERT (Reimers and Gurevych 2019); sizes are those of a model that starts at random."""

    pooling: tuple[Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"], ...] = ("mean",)
    """How states of tokens become one vector; the vectors of several stand side by side."""
    dense: tuple[Positive, ...] = ()
    """Widths of tanh layers after pooling."""
    normalize: bool = False
    """Whether vectors are scaled to length 1."""
    loss: Literal["in_batch", "simcse", "softmax", "regression", "cosine", "triplet", "contrastive"] = "in_batch"
    """What is trained: to find each example's second text among those of the batch (in_batch; simcse: the text itself
    under other dropout), its class (softmax), a number (regression), its score (cosine), or distances (triplet;
    contrastive)."""
    parts: tuple[Literal["u", "v", "|u-v|", "u*v"], ...] = ("u", "v", "|u-v|")
    """What of two vectors stands side by side for softmax and regression; u alone is for single texts, and for two that
    are read as one."""
    joined: bool = False
    """Whether an example's two texts are read as one, [CLS] a [SEP] b [SEP], so that they have one vector (a
    cross-encoder): for softmax and regression, with parts u."""
    both_orders: bool = False
    """Whether texts that are read as one are read in both orders, and the two vectors added, as OpenAI's GPT does for
    pairs whose order says nothing."""
    temperature: Annotated[float, Range(above=0)] = 0.05
    """Cosines are divided by this (in_batch, simcse)."""
    learned_temperature: bool = False
    """Whether the temperature is trained, from there on."""
    symmetric: bool = False
    """Whether first texts are looked for as second texts are."""
    margin: AboveZero = 1.0
    """Of distances (triplet: Euclidean; contrastive: of cosines)."""
    matryoshka: tuple[Positive, ...] = ()
    """Widths whose first numbers are to be vectors of their own; empty trains the whole one only."""


@dataclasses.dataclass(frozen=True)
class UniversalSentenceEncoder(SentenceBert):
    """The Universal Sentence Encoder (Cer et al. 2018): sums of states by sqrt(n), then tanh layers."""

    encoder: Literal["transformer", "averaging"] = "transformer"
    """What gives states: a Transformer, or words and pairs of neighbours (the deep averaging network)."""
    buckets: Count = 100_000
    """Rows that pairs of neighbours share; 0 leaves pairs out (averaging)."""
    idf: bool = False
    """Whether words' vectors begin the longer the fewer texts have the word, by its inverse document frequency
    (averaging)."""
    sublinear: bool = False
    """Whether a word that stands n times in a text counts sqrt(n) times (averaging)."""
    pooling: tuple[Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"], ...] = (
        "mean_sqrt_len_tokens",
    )
    """How states of tokens become one vector."""
    dense: tuple[Positive, ...] = (512,)
    """Widths of tanh layers after pooling."""


@dataclasses.dataclass(frozen=True)
class Tune:
    """Which parameters of a contextual model are trained."""

    layers: Annotated[int, Range(at_least=-1)] = -1
    """Last layers that are trained; the others stay, and so do tables of embeddings. -1 trains all. Word vectors and
    ELMo are trained whole (-1) or not (0); the mixture of ELMo's layers always is, unless one layer is read."""
    only: Literal["all", "embeddings", "norms"] = "all"
    """Whether only tables of embeddings, or only the norms' scales and biases, are trained of the encoder."""
    elmo_layer: Annotated[int, Range(at_least=-1)] = -1
    """The one layer of ELMo that is read as it is, 0 the words' own vectors; -1 reads the mixture of all. What goes on
    from such a run keeps to its layer."""
    decay: Annotated[float, Range(above=0, at_most=1)] = 1.0
    """Each layer's rate as a share of the one's above it; embeddings come below the first."""
