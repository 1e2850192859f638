"""Skip-gram and CBOW over words and their n-grams, ready for the loop."""
import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from embeddings.experiment import Experiment, FastText
from embeddings.inputs.subwords import SubwordBatches
from embeddings.models import fasttext
from embeddings.models.word2vec import Params
from embeddings.objectives import subwords as readers
from embeddings.objectives.words import Objective
from embeddings.tokenizers.subwords import Rows, Subwords
from embeddings.training import mesh as meshes
from embeddings.training import optimizer
from embeddings.training.architectures import word2vec
from embeddings.training.job import Corpus, Initial, Job, Tables
from embeddings.training.step import rows_step, without_accumulators


class Material(NamedTuple):
    """A corpus, and which rows its words have."""

    corpus: Corpus
    rows: Rows


def cut(part: FastText) -> Subwords:
    """How the flags make n-grams of a word."""
    return Subwords(part.min_ngram, part.max_ngram, part.buckets)


def prepare(settings: Experiment, corpus: Corpus) -> Material:
    """The rows of each word: a second for 200,000 words, so nothing is kept."""
    return Material(corpus, cut(settings.fasttext).rows(corpus.words))


def imagined(settings: Experiment, different_words: int) -> Material:
    """A corpus of one batch, whose words are numbers: they have as many n-grams as words of a language."""
    corpus = word2vec.imagined(settings, different_words)
    return Material(corpus, cut(settings.fasttext).rows([f"{n:06}" for n in range(different_words)]))


def build(settings: Experiment, material: Material, mesh: Mesh, initial: Initial | None = None) -> Job:
    """The job over a corpus, for a mesh. Raises UsageProblem for a width that the mesh cannot split.

    Words to start from give their vector to the word's own row, as the authors' program does.
    """
    part, (corpus, rows) = settings.fasttext, material
    windows = word2vec.batches(settings, part, corpus, mesh)
    batches = SubwordBatches(windows, rows, context=part.algorithm == "cbow")
    steps = settings.train.steps or max(1, math.ceil(settings.train.epochs * batches.spans))
    rate = optimizer.schedule(settings.optimizer, steps)
    places = 2 * part.window if part.position_weights else 0
    config = fasttext.Config(len(corpus.counts), len(rows.buckets), part.width, places)
    meshes.check(mesh, jax.eval_shape(lambda: fasttext.init(jax.random.key(0), config)), "--fasttext.width")
    step = rows_step(objective(part, corpus), settings.optimizer, rate, mesh)

    def make(key: jax.Array, *start: jax.Array) -> Params:
        params = word2vec.biased(part, corpus, fasttext.init(key, config))
        if not start:
            return params
        table = fasttext.table(params).at[start[0]].set(start[1])
        return params._replace(input=params.input._replace(rows=table) if places else table)

    return Job(
        step,
        make,
        initial or (),
        batches,
        steps,
        rate,
        lambda state: used(fasttext.table(step.parameters(state)), rows),
        word2vec.idle(settings, mesh),
    )


def tables(settings: Experiment, words: tuple[str, ...], saved: dict[str, Any]) -> Tables:
    """The vectors of all words, and the rows of their n-grams, in the parameters of a checkpoint."""
    saved = without_accumulators(settings.optimizer, saved)
    rows = saved["input"]["rows"] if isinstance(saved["input"], dict) else saved["input"]
    return used(jnp.asarray(rows), cut(settings.fasttext).rows(words))


def used(table: jax.Array, rows: Rows) -> Tables:
    """What is used of the rows of words and n-grams."""
    V = len(rows.starts) - 1
    ngrams = jnp.concatenate([table[V:], jnp.zeros_like(table[:1])])
    return Tables(fasttext.vectors(table, rows.starts, rows.rows, V), ngrams, jnp.asarray(rows.buckets, jnp.int32))


def objective(part: FastText, corpus: Corpus) -> Objective:
    """The row objective that the flags name: word2vec's, with h read from rows of words and n-grams."""
    exact = part.mean_gradient == "exact"
    if part.algorithm == "skipgram":
        reader = readers.Centre(exact)
    else:
        reader = readers.WeightedContext(exact) if part.position_weights else readers.Context(exact)
    return dataclasses.replace(word2vec.objective(part, corpus), reader=reader)
