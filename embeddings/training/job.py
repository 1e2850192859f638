"""An experiment made ready to train: what its architecture needs of the loop, built for a mesh.

The mesh may be of devices that are here or only described: nothing is made on a device before `start`.
"""
import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int32, Int64

from embeddings.experiment import Experiment
from embeddings.inputs import words
from embeddings.models import word2vec
from embeddings.objectives import words as objectives
from embeddings.training import mesh as meshes
from embeddings.training import optimizer
from embeddings.training.step import Step, dense_step, rows_step

Vectors = Float[np.ndarray, "V D"]


class Placed(NamedTuple):
    """A batch on its devices."""

    arrays: Any
    words: int
    """Words of the corpus in it."""


@dataclasses.dataclass(frozen=True)
class Job:
    """What the loop runs."""

    step: Step
    make: Callable[..., Any]
    """The parameters at the start, from a random key and `initial`."""
    initial: tuple[np.ndarray, ...]
    """Arrays that the parameters start from; none where they start at random."""
    batches: Callable[[int], Any]
    """Batch n, as numpy arrays."""
    steps: int
    """Batches in all."""
    learning_rate: optimizer.Schedule
    vectors: Callable[[Any], Any]
    """The vectors of all words in a state, on the devices."""
    note: str = ""
    """What a person should know before the first step, if anything."""

    def start(self, seed: int) -> Any:
        """The state before the first step."""
        return self.step.start(self.make, jax.random.key(seed), *self.initial)

    def like(self) -> Any:
        """Shapes and shardings of a state, with nothing made."""
        shapes = self.step.shapes(self.make, jax.random.key(0), *self.initial)
        return jax.tree.map(
            lambda a, where: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=where),
            shapes,
            self.step.state_shardings(shapes),
        )

    def place(self, n: int) -> Placed:
        """Batch n on the devices."""
        batch = self.batches(n)
        return Placed(self.step.place(batch), int(batch.words))

    def lower(self) -> jax.stages.Lowered:
        """The step for shapes alone: what can be compiled for devices that are not there."""
        return self.step.lower(self.like(), self.batches(0))

    def host_vectors(self, state: Any) -> Vectors:
        """The vectors of all words on this host; every process of the run must call it."""
        vectors = self.vectors(state)
        if vectors.is_fully_addressable:
            return np.asarray(vectors)
        return np.asarray(multihost_utils.process_allgather(vectors, tiled=True))


class Initial(NamedTuple):
    """Word vectors to start from."""

    words: Int32[np.ndarray, "n"]
    """Numbers of the words that have one."""
    vectors: Float[np.ndarray, "n D"]


def build(
    settings: Experiment,
    tokens: words.Tokens,
    counts: Int64[np.ndarray, "V"],
    mesh: Mesh,
    initial: Initial | None = None,
) -> Job:
    """The job of an experiment over a corpus of word numbers, for a mesh; `initial` is what --start_from names.

    Raises UsageProblem for settings that do not go together, before anything is compiled.
    """
    return ARCHITECTURES[settings.architecture](settings, tokens, counts, mesh, initial)


@dataclasses.dataclass(frozen=True)
class _Nothing:
    """A corpus that has a length and no content."""

    tokens: int

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros(stop - start, np.int32), np.zeros(stop - start, np.int32)


def planned(settings: Experiment, different_words: int, mesh: Mesh) -> Job:
    """The job over a corpus that is not there, of so many different words: for `lower`."""
    counts = np.full(different_words, max(1, settings.vocabulary.min_count), np.int64)
    return build(settings, _Nothing(settings.train.batch), counts, mesh)


def _word2vec(
    settings: Experiment,
    tokens: words.Tokens,
    counts: Int64[np.ndarray, "V"],
    mesh: Mesh,
    initial: Initial | None,
) -> Job:
    part = settings.word2vec
    dense = part.loss == "softmax"
    batches = words.Batches(
        tokens,
        counts,
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
    steps = settings.train.steps or max(1, math.ceil(settings.train.epochs * batches.spans))
    rate = optimizer.schedule(settings.optimizer, steps)
    config = word2vec.Config(len(counts), part.width)
    shapes = jax.eval_shape(lambda: word2vec.init(jax.random.key(0), config))
    meshes.check(mesh, shapes, "--word2vec.width")
    if dense:
        step = dense_step(objectives.Softmax().loss, optimizer.build(settings.optimizer, rate), mesh)
    else:
        cbow = objectives.Cbow(part.negatives, exact=part.cbow_gradient == "exact")
        objective = {"skipgram": objectives.SkipGram(part.negatives), "cbow": cbow}[part.algorithm]
        step = rows_step(objective, settings.optimizer, rate, mesh)

    def make(key: jax.Array, *start: jax.Array) -> word2vec.Params:
        params = word2vec.init(key, config)
        return params._replace(input=params.input.at[start[0]].set(start[1])) if start else params

    return Job(
        step,
        make,
        initial or (),
        batches,
        steps,
        rate,
        lambda state: word2vec.vectors(step.parameters(state)),
        _idle(part.chunk // part.block, mesh.shape["data"]),
    )


def _idle(blocks: int, devices: int) -> str:
    """What to say where the blocks of an update do not divide among the devices that they are split over."""
    if blocks % devices == 0:
        return ""
    return (
        f"an update has {blocks} blocks for {devices} devices along --mesh.data: some of them wait; "
        "raise --word2vec.chunk, or split the width by --mesh.tensor"
    )


ARCHITECTURES = {"word2vec": _word2vec}
"""How each --architecture is made ready."""


def vectors(settings: Experiment, saved: dict[str, Any]) -> Float[Array, "V D"]:
    """The vectors of all words in the parameters of a checkpoint."""
    if settings.word2vec.loss == "negative_sampling" and settings.optimizer.name == "adagrad":
        saved = {name: table[:, 0] for name, table in saved.items()}  # what is beside a row is Adagrad's
    return word2vec.vectors(word2vec.Params(**saved))
