"""An experiment made ready to train: what the loop needs, whatever the architecture, built for a mesh.

The mesh may be of devices that are here or only described: nothing is made on a device before `start`.
"""
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import Array, Float, Int32, Int64

from embeddings.inputs.shuffled import Tokens
from embeddings.training import optimizer
from embeddings.training.step import Step


class Corpus(NamedTuple):
    """A numbered corpus, as an architecture finds it."""

    words: tuple[str, ...]
    """The V words by number, most frequent first."""
    counts: Int64[np.ndarray, "V"]
    tokens: Tokens
    cache: Path | None = None
    """Folder for what is made of it once."""
    progress: Callable[[str, int, int], None] | None = None
    """Told (what, done, all) while something is made."""


class Tables(NamedTuple):
    """What training leaves for use."""

    words: Float[Array | np.ndarray, "V D"]
    """The vector of each word."""
    ngrams: Float[Array | np.ndarray, "buckets D"] | None = None
    """Rows of the buckets of character n-grams that are in use, then one of zeros; where a model has them."""
    buckets: Int32[Array | np.ndarray, "used"] | None = None
    """Those buckets, ascending."""


class Initial(NamedTuple):
    """Word vectors to start from."""

    words: Int32[np.ndarray, "n"]
    """Numbers of the words that have one."""
    vectors: Float[np.ndarray, "n D"]


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
    initial: tuple[Any, ...]
    """Trees of arrays that the parameters start from; none where they start at random."""
    batches: Callable[[int], Any]
    """Batch n, as numpy arrays."""
    steps: int
    """Batches in all."""
    learning_rate: optimizer.Schedule
    tables: Callable[[Any], Any]
    """What a state leaves for use, on the devices: Tables of words, or a model's parameters."""
    note: str = ""
    """What a person should know before the first step, if anything."""

    def start(self, seed: int) -> Any:
        """The state before the first step."""
        return self.step.start(self.make, jax.random.key(seed), *self.initial)

    def release(self) -> None:
        """Frees what the parameters started from, which takes as much of a device as they do: no start follows."""
        for leaf in jax.tree.leaves(self.initial):
            if isinstance(leaf, jax.Array):
                leaf.delete()

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

    def host_tables(self, state: Any) -> Any:
        """What a state leaves for use, on this host; every process of the run must call it."""

        def here(table: jax.Array) -> np.ndarray:
            if table.is_fully_addressable:
                return np.asarray(table)
            return np.asarray(multihost_utils.process_allgather(table, tiled=True))

        return jax.tree.map(here, self.tables(state))
