"""Skip-gram and CBOW, ready for the loop."""
import math
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from embeddings.experiment import DENSE, Experiment, Word2Vec
from embeddings.inputs import huffman, words
from embeddings.inputs.paths import PathBatches
from embeddings.models import word2vec
from embeddings.objectives import hierarchical
from embeddings.objectives import words as objectives
from embeddings.training import mesh as meshes
from embeddings.training import optimizer
from embeddings.training.job import Corpus, Initial, Job, Tables
from embeddings.training.step import dense_step, rows_step, without_accumulators


class Nothing:
    """A corpus that has a length and no content."""

    def __init__(self, tokens: int):
        self.tokens = tokens

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Word 0, again and again."""
        return np.zeros(stop - start, np.int32), np.zeros(stop - start, np.int32)


def prepare(settings: Experiment, corpus: Corpus) -> Corpus:
    """Windows are read from the corpus as it is."""
    return corpus


def imagined(settings: Experiment, different_words: int) -> Corpus:
    """A corpus of one batch."""
    counts = np.full(different_words, max(1, settings.vocabulary.min_count), np.int64)
    return Corpus((), counts, Nothing(settings.train.batch))


def build(settings: Experiment, corpus: Corpus, mesh: Mesh, initial: Initial | None = None) -> Job:
    """The job over a corpus, for a mesh. Raises UsageProblem for settings that do not go together."""
    part = settings.word2vec
    made, outputs = batches(settings, part, corpus, mesh), None
    if part.loss == "hierarchical_softmax":
        tree = huffman.tree(corpus.counts)
        made, outputs = PathBatches(made, tree), len(corpus.counts) - 1
    steps = settings.train.steps or max(1, math.ceil(settings.train.epochs * made.spans))
    rate = optimizer.schedule(settings.optimizer, steps)
    config = word2vec.Config(len(corpus.counts), part.width, outputs)
    meshes.check(mesh, jax.eval_shape(lambda: word2vec.init(jax.random.key(0), config)), "--word2vec.width")
    if part.loss in DENSE:
        step = dense_step(objectives.Softmax().loss, optimizer.build(settings.optimizer, rate), mesh)
    elif part.loss == "hierarchical_softmax":
        exact = part.mean_gradient == "exact"
        step = rows_step(hierarchical.objective(tree, part.algorithm, exact), settings.optimizer, rate, mesh)
    else:
        step = rows_step(objective(part), settings.optimizer, rate, mesh)

    def make(key: jax.Array, *start: jax.Array) -> word2vec.Params:
        params = word2vec.init(key, config)
        return params._replace(input=params.input.at[start[0]].set(start[1])) if start else params

    return Job(
        step,
        make,
        initial or (),
        made,
        steps,
        rate,
        lambda state: Tables(word2vec.vectors(step.parameters(state))),
        idle(settings, mesh),
    )


def tables(settings: Experiment, words: tuple[str, ...], saved: dict[str, Any]) -> Tables:
    """The vectors of all words in the parameters of a checkpoint."""
    if settings.by_rows:
        saved = without_accumulators(settings.optimizer, saved)
    return Tables(word2vec.vectors(word2vec.Params(**saved)))


def objective(part: Word2Vec) -> objectives.Objective:
    """The row objective that the flags name."""
    if part.algorithm == "cbow":
        return objectives.cbow(part.negatives, exact=part.mean_gradient == "exact")
    return objectives.skip_gram(part.negatives)


def batches(settings: Experiment, part: Word2Vec, corpus: Corpus, mesh: Mesh) -> words.Batches:
    """Batches of windows over the corpus."""
    return words.Batches(
        corpus.tokens,
        corpus.counts,
        seed=settings.seed,
        batch=settings.train.batch,
        window=part.window,
        block=part.block,
        chunk=part.chunk,
        shared_negatives=part.shared_negatives,
        subsample=part.subsample,
        noise_power=part.noise_power,
        burst=part.burst,
        multiple=mesh.shape["data"],
    )


def idle(settings: Experiment, mesh: Mesh) -> str:
    """What to say where the blocks of an update do not divide among the devices that they are split over."""
    blocks, devices = settings.model.chunk // settings.model.block, mesh.shape["data"]
    if blocks % devices == 0:
        return ""
    return (
        f"an update has {blocks} blocks for {devices} devices along --mesh.data: some of them wait; "
        f"raise --{settings.architecture}.chunk, or split the width by --mesh.tensor"
    )
