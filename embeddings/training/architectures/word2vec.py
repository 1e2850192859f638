"""Skip-gram and CBOW, ready for the loop."""
import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float

from embeddings.experiment import DENSE, Experiment, Word2Vec
from embeddings.inputs import clusters, huffman, words
from embeddings.inputs.paths import PathBatches
from embeddings.models import word2vec
from embeddings.objectives import hierarchical, noise, softmax
from embeddings.objectives.words import Centre, Context, Objective
from embeddings.problems import UsageProblem
from embeddings.training import mesh as meshes
from embeddings.training import optimizer
from embeddings.training.dense import dense_step
from embeddings.training.job import Corpus, Initial, Job, Tables
from embeddings.training.step import rows_step, without_accumulators


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
    """A corpus of one batch, whose words are as frequent as those of a language: by Zipf's law."""
    counts = 1000 * different_words // np.arange(1, different_words + 1)
    return Corpus((), counts, Nothing(settings.train.batch))


def build(settings: Experiment, corpus: Corpus, mesh: Mesh, initial: Initial | None = None) -> Job:
    """The job over a corpus, for a mesh. Raises UsageProblem for settings that do not go together."""
    part, made, outputs = settings.word2vec, batches(settings, settings.word2vec, corpus, mesh), len(corpus.counts)
    if part.loss == "hierarchical_softmax":
        tree, outputs = huffman.tree(corpus.counts), outputs - 1
        made = PathBatches(made, tree)
    steps = settings.train.steps or max(1, math.ceil(settings.train.epochs * made.spans))
    rate = optimizer.schedule(settings.optimizer, steps)
    config = word2vec.Config(len(corpus.counts), part.width, outputs)
    meshes.check(mesh, jax.eval_shape(lambda: word2vec.init(jax.random.key(0), config)), "--word2vec.width")
    if part.loss in DENSE:
        dense = classes(part, corpus, mesh)
        step = dense_step(dense.loss, functools.partial(optimizer.build, settings.optimizer), rate, mesh)
    elif part.loss == "hierarchical_softmax":
        exact = part.mean_gradient == "exact"
        step = rows_step(hierarchical.objective(tree, part.algorithm, exact), settings.optimizer, rate, mesh)
    else:
        step = rows_step(objective(part, corpus), settings.optimizer, rate, mesh)

    def make(key: jax.Array, *start: jax.Array) -> word2vec.Params:
        params = biased(part, corpus, word2vec.init(key, config))
        if part.loss in DENSE:
            params = params._replace(output=dense.init(jax.random.fold_in(key, 1), part.width))
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


def objective(part: Word2Vec, corpus: Corpus) -> Objective:
    """The row objective that the flags name: negative sampling, or noise contrastive estimation."""
    if part.algorithm == "cbow":
        whole = noise.cbow(part.negatives, exact=part.mean_gradient == "exact")
    else:
        whole = noise.skip_gram(part.negatives)
    if part.loss != "nce":
        return whole
    drawn = corpus.counts.astype(np.float64) ** part.noise_power
    log_noise = np.log(part.negatives * drawn / drawn.sum()).astype(np.float32)
    return dataclasses.replace(whole, writer=noise.Contrastive(whole.writer, log_noise))


def biased(part: Word2Vec, corpus: Corpus, params: word2vec.Params) -> word2vec.Params:
    """The parameters at the start, their output with biases where the loss wants such."""
    if part.loss != "nce":
        return params
    bias = np.log(shares(part, corpus)).astype(np.float32)
    return params._replace(output=word2vec.Biased(params.output, jnp.asarray(bias)[:, None]))


def shares(part: Word2Vec, corpus: Corpus) -> Float[np.ndarray, "V"]:
    """How much of the words that stay after subsampling each is."""
    kept = corpus.counts * words.keep_probability(corpus.counts, part.subsample)
    return kept / kept.sum()


def classes(part: Word2Vec, corpus: Corpus, mesh: Mesh) -> softmax.Softmax:
    """The softmax that the flags name. Raises UsageProblem for a mesh that its tables cannot be split over."""
    devices = mesh.shape["fsdp"] * mesh.shape["tensor"]
    if softmax.MULTIPLE % devices:
        raise UsageProblem(f"--mesh.fsdp times --mesh.tensor, {devices}, must divide {softmax.MULTIPLE} with "
                           f"--word2vec.loss={part.loss}, whose words are split over these devices: change either")
    by_mean = part.algorithm == "cbow"
    reader = Context(part.mean_gradient == "exact") if by_mean else Centre()
    if part.loss == "softmax":
        return softmax.Softmax(reader, softmax.Full(len(corpus.counts)), by_mean)
    predicted = 1.0 if by_mean else part.window + 1.0  # a reach is half the window to each side, on the mean
    limits = clusters.limits(shares(part, corpus), part.clusters, predicted)
    return softmax.Softmax(reader, softmax.Adaptive(limits), by_mean)


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
        piece=part.piece,
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
