"""fastText's readers against loops over their definition and jax.grad."""
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embeddings.inputs.subwords import SubwordChunk
from embeddings.models.fasttext import Weighted
from embeddings.models.word2vec import Params
from embeddings.objectives.noise import cbow, skip_gram
from embeddings.objectives.subwords import Centre, Context, WeightedContext, shares, sums

K, B, W, N, D, V, U, E = 2, 4, 2, 3, 5, 11, 6, 40
R = B + 2 * W
MEMBERS = [[v, *np.random.default_rng(v).integers(V, V + U, v % 5)] for v in range(V)]
"""Rows of each word: its own, and up to four others, of which one may stand twice."""


def chunk(context):
    """Two blocks: a line ends after the first centre; the last two centres are padding."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, V, (K, R))
    ids[1, :4] = ids[0, 4:]
    left = np.array([[2, 0, 1, 1], [2, 1, 0, 0]])
    right = np.array([[0, 2, 1, 2], [1, 0, 0, 0]])
    places = range(R) if context else range(W, W + B)
    rows, owner = np.zeros((K, E), int), np.full((K, E), len(places))
    for k in range(K):
        flat = [(place, row) for place, i in enumerate(places) for row in MEMBERS[ids[k, i]]]
        owner[k, : len(flat)], rows[k, : len(flat)] = zip(*flat, strict=True)
    counts = np.array([[len(MEMBERS[ids[k, i]]) for i in places] for k in range(K)])
    arrays = (ids, left, right, rng.integers(0, V, (K, N)), rows, owner, counts)
    return SubwordChunk(*(jnp.asarray(a, jnp.int32) for a in arrays))


def objective(reader, negatives=5):
    """Negative sampling read in another way."""
    whole = skip_gram(negatives) if isinstance(reader, Centre) else cbow(negatives)
    return dataclasses.replace(whole, reader=reader)


def tables(reader, dtype=np.float32):
    rng = np.random.default_rng(1)
    rows, output, positions = (rng.normal(size=(n, D)).astype(dtype) for n in (V + U, V, 2 * W))
    return Params(Weighted(rows, positions) if isinstance(reader, WeightedContext) else rows, output)


def context_of(c, k, i):
    """(place in the block, place of the window) around centre i of block k."""
    return [(i + W + o, o + W - (o > 0)) for o in range(-int(c.left[k, i]), int(c.right[k, i]) + 1) if o != 0]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_loop(reader, c, k_noise):
    """J and dJ by the tables, one word, row and noise word after another."""
    params, loss = tables(reader, np.float64), 0.0
    zero = jax.tree.map(np.zeros_like, params)
    weighted = isinstance(reader, WeightedContext)
    rows, by_rows = (p.input.rows if weighted else p.input for p in (params, zero))
    for k in range(K):
        for i in range(B):
            around, centre = context_of(c, k, i), int(c.ids[k, i + W])
            if isinstance(reader, Centre):
                parts, predicted = [(g, None) for g in MEMBERS[centre]], [int(c.ids[k, j]) for j, _ in around]
            else:
                parts = [(g, p) for j, p in around for g in MEMBERS[int(c.ids[k, j])]]
                predicted = [centre] if around else []
            if not predicted:
                continue
            d = [params.input.positions[p] if weighted else 1.0 for _, p in parts]
            h, dh = np.mean([rows[g] * x for (g, _), x in zip(parts, d, strict=True)], axis=0), np.zeros(D)
            for word in predicted:
                for other, label, share in [(word, 1, 1.0), *((int(n), 0, k_noise / N) for n in c.negatives[k])]:
                    u = params.output[other]
                    loss -= share * np.log(sigmoid(h @ u if label else -(h @ u)))
                    dh += share * (sigmoid(h @ u) - label) * u
                    zero.output[other] += share * (sigmoid(h @ u) - label) * h
            for (g, p), x in zip(parts, d, strict=True):
                by_rows[g] += x * (dh / len(parts) if reader.exact else dh)
                if weighted:
                    zero.input.positions[p] += rows[g] * dh / len(parts)
    return loss, zero


def rows_of(objective, c, params):
    return jax.tree.map(lambda table, ids: jnp.asarray(table)[ids], params, objective.rows(c))


READERS = [reader(exact) for reader in (Centre, Context, WeightedContext) for exact in (False, True)]


@pytest.mark.parametrize("reader", READERS, ids=repr)
def test_loss_and_gradient_are_their_definition(reader):
    c, whole = chunk(not isinstance(reader, Centre)), objective(reader)
    loss, wanted = by_loop(reader, c, 5)
    rows = rows_of(whole, c, tables(reader))
    np.testing.assert_allclose(whole.loss(rows, c)["loss"][0], loss, rtol=1e-5)

    def added_up(table, ids, g):
        total = np.zeros(table.shape)
        np.add.at(total, np.asarray(ids), np.asarray(g, np.float64))
        return total

    got = jax.tree.map(added_up, wanted, whole.rows(c), whole.gradient(rows, c))
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("reader", [reader for reader in READERS if reader.exact], ids=repr)
def test_the_gradient_is_that_of_the_loss(reader):
    c, whole = chunk(not isinstance(reader, Centre)), objective(reader)
    rows = rows_of(whole, c, tables(reader))
    by_jax = jax.jit(jax.grad(lambda r: whole.loss(r, c)["loss"][0]))(rows)
    for a, b in zip(jax.tree.leaves(whole.gradient(rows, c)), jax.tree.leaves(by_jax), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("reader", READERS, ids=repr)
def test_padding_has_no_part(reader):
    c = chunk(not isinstance(reader, Centre))
    zero = jnp.zeros((K, B), jnp.int32)
    padding = c._replace(left=zero, right=zero, owner=jnp.full_like(c.owner, c.counts.shape[1]))
    whole = objective(reader)
    rows = rows_of(whole, padding, tables(reader))
    assert [float(x) for x in whole.loss(rows, padding)["loss"]] == [0, 0]
    assert not any(g.any() for g in jax.tree.leaves(whole.gradient(rows, padding)))


def test_sums_and_shares_are_transposes():
    rng = np.random.default_rng(3)
    c = chunk(True)
    rows, words = (jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in [(K, E, D), (K, R, D)])
    np.testing.assert_allclose(jnp.vdot(sums(rows, c), words), jnp.vdot(rows, shares(words, c)), rtol=1e-4)
    assert not shares(words, c)[c.owner == R].any()
