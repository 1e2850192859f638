"""How alike two vectors are, and the exact nearest rows of a table.

    cosine(a, b) = a.b / (|a| |b|)        dot(a, b) = a.b        euclidean(a, b) = |a - b|

Products are taken at full float32 precision on every device, since a ranking is made from them.
"""
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

QUERY_BATCH = 256
SMALLEST_BATCH = 8
# Small matrix products are compiled to other code, which rounds differently: chunks are never that small.
SMALLEST_CHUNK = 1024


def unit(vectors: Float[Array | np.ndarray, "n D"]) -> Float[Array, "n D"]:
    """Rows divided by their Euclidean norm; a row of zeros stays zeros."""
    norm = jnp.linalg.norm(vectors, axis=-1, keepdims=True)
    return jnp.asarray(vectors) / jnp.where(norm > 0, norm, 1)


def dot(a: Float[Array | np.ndarray, "n D"], b: Float[Array | np.ndarray, "m D"]) -> Float[Array, "n m"]:
    """Inner products of all rows of a with all rows of b."""
    return jnp.matmul(a, jnp.swapaxes(b, 0, 1), precision="highest")


def cosine(a: Float[Array | np.ndarray, "n D"], b: Float[Array | np.ndarray, "m D"]) -> Float[Array, "n m"]:
    """Cosines of all rows of a with all rows of b, in [-1, 1]; 0 where either row is zeros."""
    return dot(unit(a), unit(b))


def euclidean(a: Float[Array | np.ndarray, "n D"], b: Float[Array | np.ndarray, "m D"]) -> Float[Array, "n m"]:
    """Distances of all rows of a to all rows of b, from |a - b|^2 = |a|^2 - 2 a.b + |b|^2.

    The expansion needs no [n, m, D] array; rows that nearly coincide lose digits: the error is about 4e-4 |a|.
    """
    return jnp.sqrt(-_negative_squared_distance(jnp.asarray(a), jnp.asarray(b)))


def _negative_squared_distance(a: Float[Array, "n D"], b: Float[Array, "m D"]) -> Float[Array, "n m"]:
    squares = jnp.sum(a * a, -1)[:, None] + jnp.sum(b * b, -1)[None, :]
    return -jnp.maximum(squares - 2 * dot(a, b), 0)


_RANKED_BY = {"cosine": cosine, "dot": dot, "euclidean": _negative_squared_distance}


@functools.partial(jax.jit, static_argnames="score")
def _merge(
    best: tuple[Float[Array, "Q k"], Int[Array, "Q k"]],
    queries: Float[Array, "Q D"],
    rows: Float[Array, "C D"],
    first: Int[Array, ""],
    end: Int[Array, ""],
    exclude: Int[Array, "Q E"],
    score: str,
) -> tuple[Float[Array, "Q k"], Int[Array, "Q k"]]:
    """The best k of those so far and of table rows first, first + 1, ... (those from `end` on are padding)."""
    index = first + jnp.arange(rows.shape[0], dtype=jnp.int32)
    allowed = (index < end) & ~jnp.any(exclude[:, :, None] == index, axis=1)
    scores = jnp.where(allowed, _RANKED_BY[score](queries, rows), -jnp.inf)
    # Earlier rows stand first, and lax.top_k takes the earlier of equals: so ties go to the lower index.
    scores = jnp.concatenate([best[0], scores], axis=1)
    index = jnp.concatenate([best[1], jnp.where(allowed, index, -1)], axis=1)
    scores, position = jax.lax.top_k(scores, best[0].shape[1])
    return scores, jnp.take_along_axis(index, position, axis=1)


def top_k(
    queries: Float[Array | np.ndarray, "Q D"],
    table: Float[Array | np.ndarray, "V D"],
    k: int,
    score: str = "cosine",
    chunk: int = 16384,
    exclude: Int[np.ndarray, "Q E"] | None = None,
) -> tuple[Float[np.ndarray, "Q k"], Int[np.ndarray, "Q k"]]:
    """The k rows of the table nearest to each query, best first: exact, equal scores by lower index.

    The table is read once and may be memory-mapped: beside the result, memory holds one chunk and its scores against
    256 queries. Shapes are padded to powers of two, so that few programs are compiled.

    Args:
        queries: finite rows.
        table: finite rows.
        k: how many rows a query, at least 1; where fewer are left, the rest has index -1 and the worst score.
        score: cosine, dot (larger is nearer) or euclidean (smaller is nearer).
        chunk: rows of the table at a time, rounded up to a power of two of at least 1024. It changes no index and no
            score by more than rounding (on CPUs by no bit).
        exclude: rows not to be given for a query, padded with -1.

    Returns the scores (cosine, inner product or distance) and indices. Raises ValueError for other arguments.
    """
    if k < 1 or chunk < 1 or score not in _RANKED_BY:
        raise ValueError(f"top_k: k {k} and chunk {chunk} must be positive, score {score!r} one of {[*_RANKED_BY]}")
    count, rows = queries.shape[0], table.shape[0]
    size = min(QUERY_BATCH, max(SMALLEST_BATCH, _power_of_two(count)))
    chunk = max(SMALLEST_CHUNK, min(_power_of_two(chunk), _power_of_two(rows)))
    if exclude is None or not exclude.shape[1]:
        exclude = np.full((count, 1), -1, np.int32)
    queries, exclude = _batches(queries, size, 0), _batches(exclude, size, -1)
    best = [(jnp.full((size, k), -jnp.inf, jnp.float32), jnp.full((size, k), -1, jnp.int32)) for _ in queries]
    for first in range(0, rows, chunk):
        part = _padded(table[first : first + chunk], chunk, 0)
        for i, batch in enumerate(queries):
            best[i] = _merge(best[i], batch, part, jnp.int32(first), jnp.int32(rows), exclude[i], score)
    scores, index = (np.concatenate(parts)[:count] for parts in zip(*best, strict=True))
    return np.sqrt(-scores) if score == "euclidean" else scores, index


def _batches(rows: Array | np.ndarray, size: int, fill: int) -> list[Array]:
    """Rows in portions of `size`, at least one portion."""
    return [_padded(rows[at : at + size], size, fill) for at in range(0, max(rows.shape[0], 1), size)]


def _power_of_two(n: int) -> int:
    return 1 << max(n - 1, 0).bit_length()


def _padded(rows: Array | np.ndarray, size: int, fill: int) -> Array:
    """Rows up to `size` of them, as 32-bit numbers on the device."""
    rows = jnp.asarray(rows, jnp.int32 if fill < 0 else jnp.float32)
    return jnp.pad(rows, ((0, size - rows.shape[0]), (0, 0)), constant_values=fill)
