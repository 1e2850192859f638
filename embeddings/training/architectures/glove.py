"""GloVe, ready for the loop."""
import math
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from embeddings.corpus import cooccurrence
from embeddings.experiment import Experiment
from embeddings.inputs.cooccurrences import Batches, Table
from embeddings.models import glove
from embeddings.training import mesh as meshes
from embeddings.training import optimizer
from embeddings.training.job import Corpus, Initial, Job, Tables
from embeddings.training.step import rows_step, without_accumulators


class Counted(NamedTuple):
    """What GloVe is trained on."""

    vocabulary: int
    """Number of words, V."""
    table: Table


class Imagined:
    """A table that has a size and no content."""

    def __init__(self, entries: int):
        self.entries = entries

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Word 0 beside itself, again and again."""
        nothing = np.zeros(stop - start, np.int32)
        return nothing, nothing, np.ones(stop - start, np.float32)


def prepare(settings: Experiment, corpus: Corpus) -> Counted:
    """The counts of words that stand together."""
    part, V = settings.glove, len(corpus.counts)
    context = cooccurrence.Context(part.window, part.symmetric, part.distance_weighting)
    return Counted(V, cooccurrence.prepare(corpus.tokens, V, context, corpus.cache, corpus.progress))


def imagined(settings: Experiment, different_words: int) -> Counted:
    """A table of one batch."""
    return Counted(different_words, Imagined(settings.train.batch))


def build(settings: Experiment, counted: Counted, mesh: Mesh, initial: Initial | None = None) -> Job:
    """The job over a table of counts, for a mesh. Raises UsageProblem for a width that the mesh cannot split."""
    part = settings.glove
    made = Batches(counted.table, settings.seed, settings.train.batch, part.chunk, multiple=mesh.shape["data"])
    steps = settings.train.steps or max(1, math.ceil(settings.train.epochs * made.spans))
    rate = optimizer.schedule(settings.optimizer, steps)
    config = glove.Config(counted.vocabulary, part.width)
    meshes.check(mesh, jax.eval_shape(lambda: glove.init(jax.random.key(0), config)), "--glove.width")
    step = rows_step(glove.WeightedLeastSquares(part.x_max, part.alpha), settings.optimizer, rate, mesh)

    def make(key: jax.Array, *start: jax.Array) -> glove.Params:
        params = glove.init(key, config)
        if not start:
            return params
        words, half = start[0], start[1] / 2  # a word's vector is the sum of its two rows
        return params._replace(word=params.word.at[words].set(half), context=params.context.at[words].set(half))

    def left(state: Any) -> Tables:
        return Tables(glove.vectors(step.parameters(state)))

    return Job(step, make, initial or (), made, steps, rate, left, idle(part.chunk, mesh))


def tables(settings: Experiment, words: tuple[str, ...], saved: dict[str, Any]) -> Tables:
    """The vectors of all words in the parameters of a checkpoint."""
    return Tables(glove.vectors(glove.Params(**without_accumulators(settings.optimizer, saved))))


def idle(chunk: int, mesh: Mesh) -> str:
    """What to say where the pairs of an update do not divide among the devices that they are split over."""
    devices = mesh.shape["data"]
    if chunk % devices == 0:
        return ""
    return (
        f"an update has {chunk} pairs for {devices} devices along --mesh.data: some of them wait; "
        "choose a multiple as --glove.chunk, or split the width by --mesh.tensor"
    )
