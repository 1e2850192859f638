"""Row objectives over windows: a reader and a writer.

A row objective says which rows of the tables a chunk reads, the loss, and its gradient by those rows, times a factor (a
learning rate costs nothing there). Where a row stands in a chunk several times, each place has its own part of the
gradient. `total` adds partial scores up where the width of the tables is split over devices. It is made of two halves:
a reader makes h, one row a centre, of rows of the input table (and takes dJ / dh back to them); a writer scores h with
rows of the output table (noise.py, hierarchical.py). Here are word2vec's readers; fastText's are in subwords.py.

Skip-gram has h_i = v_i. CBOW has h_i = sum_j m_ij v_j / c_i, with m_ij = 1 where j is in the reach of i, c_i = sum_j
m_ij. The authors' program adds dJ / dh_i whole to each context word, without the 1 / c_i that the mean would give; that
is the default here, and `exact` turns it off.

Shapes: K blocks, B centres, R = B + 2 window rows, D width.
"""
import dataclasses
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from embeddings.inputs.words import Windows
from embeddings.models.word2vec import Params
from embeddings.objectives.windows import Sums, Total, around, centres, pairs, same, spread

Tree = Any
"""Numbers of rows, or rows: an array, or several where a half reads several tables."""


@runtime_checkable
class Reader(Protocol):
    """How h is made of rows of the input table."""

    def rows(self, chunk: Windows) -> Tree:
        """Numbers of the rows that it reads."""

    def read(self, rows: Tree, chunk: Windows) -> Float[Array, "K B D"]:
        """h, one row a centre."""

    def back(self, by_h: Float[Array, "K B D"], rows: Tree, chunk: Windows) -> Tree:
        """From dJ / dh: dJ by each row."""


@runtime_checkable
class Writer(Protocol):
    """What h is scored with: rows of the output table."""

    def rows(self, chunk: Windows) -> Tree:
        """Numbers of the rows that it reads."""

    def loss(self, h: Float[Array, "K B D"], rows: Tree, chunk: Windows, total: Total) -> Sums:
        """J, and what it is the sum over."""

    def gradient(
        self, h: Float[Array, "K B D"], rows: Tree, chunk: Windows, total: Total, factor: float | Array
    ) -> tuple[Float[Array, "K B D"], Tree]:
        """dJ / dh and dJ by each row, times `factor`."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Objective:
    """A row objective: a reader and a writer."""

    reader: Reader
    writer: Writer

    def rows(self, chunk: Windows) -> Params:
        """Numbers of the rows of both tables that a chunk reads."""
        return Params(self.reader.rows(chunk), self.writer.rows(chunk))

    def loss(self, rows: Params, chunk: Windows, total: Total = same) -> Sums:
        """J over the chunk, and its weight."""
        return self.writer.loss(self.reader.read(rows.input, chunk), rows.output, chunk, total)

    def gradient(self, rows: Params, chunk: Windows, total: Total = same, factor: float | Array = 1.0) -> Params:
        """dJ by each row, times `factor`."""
        h = self.reader.read(rows.input, chunk)
        by_h, by_output = self.writer.gradient(h, rows.output, chunk, total, factor)
        return Params(self.reader.back(by_h, rows.input, chunk), by_output)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Centre:
    """Skip-gram's reader: h_i = v_i."""

    def rows(self, chunk: Windows) -> Int[Array, "K B"]:
        """The B centres."""
        return centres(chunk.ids, chunk)

    def read(self, rows: Float[Array, "K B D"], chunk: Windows) -> Float[Array, "K B D"]:
        """The rows as they are."""
        return rows

    def back(self, by_h: Float[Array, "K B D"], rows: Array, chunk: Windows) -> Float[Array, "K B D"]:
        """The gradient as it is."""
        return by_h


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Context:
    """CBOW's reader: h_i is the mean of the words around the centre, 0 where there is none."""

    exact: bool = dataclasses.field(default=False, metadata={"static": True})
    """Whether a context word gets its share 1 / c_i of dJ / dh_i, as the gradient of a mean is, or the whole of it."""

    def rows(self, chunk: Windows) -> Int[Array, "K R"]:
        """All R words of a block."""
        return chunk.ids

    def read(self, rows: Float[Array, "K R D"], chunk: Windows) -> Float[Array, "K B D"]:
        """h."""
        c = (chunk.left + chunk.right)[:, :, None]
        B = c.shape[1]
        mean = jnp.where(pairs(chunk), _share(chunk), 0), rows
        # What stands in a branch is computed once; otherwise the compiler does it anew for each reader of h.
        return jax.lax.cond(jnp.any(c > 0), around, lambda weight, rows: jnp.zeros_like(rows[:, :B]), *mean)

    def back(self, by_h: Float[Array, "K B D"], rows: Array, chunk: Windows) -> Float[Array, "K R D"]:
        """To each word dJ / dh_i of each centre it stands around, or its share."""
        return spread(jnp.where(pairs(chunk), 1.0, 0.0), _share(chunk) * by_h if self.exact else by_h)


def _share(chunk: Windows) -> Float[Array, "K B 1"]:
    """1 / c_i, 0 where a centre has no context."""
    c = (chunk.left + chunk.right)[:, :, None]
    return jnp.where(c > 0, 1 / jnp.maximum(c, 1), 0.0)
