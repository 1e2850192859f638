"""Losses by noise words and their gradients against loops over their definitions, finite differences and jax.grad."""
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embeddings.inputs.words import Chunk
from embeddings.models.word2vec import Biased, Params
from embeddings.objectives.noise import Contrastive, cbow, skip_gram
from embeddings.objectives.words import Context

K, B, W, N, D, V = 2, 4, 2, 3, 5, 11
R = B + 2 * W


def chunk():
    """Two blocks: a line ends after the first centre; the last two centres are padding."""
    rng = np.random.default_rng(0)
    left = np.array([[2, 0, 1, 1], [2, 1, 0, 0]])
    right = np.array([[0, 2, 1, 2], [1, 0, 0, 0]])
    ids = rng.integers(0, V, (K, R))
    ids[1, :4] = ids[0, 4:]
    return Chunk(*(jnp.asarray(a, jnp.int32) for a in (ids, left, right, rng.integers(0, V, (K, N)))))


def tables(dtype=np.float32):
    rng = np.random.default_rng(1)
    return Params(*(rng.normal(size=(V, D)).astype(dtype) for _ in range(2)))


def rows_of(objective, chunk, params):
    return jax.tree.map(lambda table, ids: jnp.asarray(table)[ids], params, objective.rows(chunk))


def context_of(chunk, k, i):
    """Rows of block k that stand around its centre i."""
    return [i + W + o for o in range(-int(chunk.left[k, i]), int(chunk.right[k, i]) + 1) if o != 0]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def skipgram_by_loop(params, chunk, k_noise):
    """J, the number of pairs, and dJ by the tables."""
    loss, weight, g = 0.0, 0, Params(*(np.zeros((V, D)) for _ in range(2)))
    for k in range(K):
        for i in range(B):
            for j in context_of(chunk, k, i):
                word, context = int(chunk.ids[k, i + W]), int(chunk.ids[k, j])
                weight += 1
                noise = [(int(n), 0, k_noise / N) for n in chunk.negatives[k]]
                for other, label, share in [(context, 1, 1.0), *noise]:
                    v, u = params.input[word], params.output[other]
                    loss -= share * np.log(sigmoid(v @ u if label else -(v @ u)))
                    g.input[word] += share * (sigmoid(v @ u) - label) * u
                    g.output[other] += share * (sigmoid(v @ u) - label) * v
    return loss, weight, g


def cbow_by_loop(params, chunk, k_noise, exact):
    loss, weight, g = 0.0, 0, Params(*(np.zeros((V, D)) for _ in range(2)))
    for k in range(K):
        for i in range(B):
            context = [int(chunk.ids[k, j]) for j in context_of(chunk, k, i)]
            if not context:
                continue
            weight += 1
            h, dh = np.mean([params.input[c] for c in context], axis=0), np.zeros(D)
            noise = [(int(n), 0, k_noise / N) for n in chunk.negatives[k]]
            for other, label, share in [(int(chunk.ids[k, i + W]), 1, 1.0), *noise]:
                u = params.output[other]
                loss -= share * np.log(sigmoid(h @ u if label else -(h @ u)))
                dh += share * (sigmoid(h @ u) - label) * u
                g.output[other] += share * (sigmoid(h @ u) - label) * h
            for c in context:
                g.input[c] += dh / len(context) if exact else dh
    return loss, weight, g


def summed(objective, chunk, rows):
    """Row gradients added up into tables."""
    zero = Params(*(np.zeros((V, D)) for _ in range(2)))
    for table, ids, g in zip(zero, objective.rows(chunk), rows, strict=True):
        np.add.at(table, np.asarray(ids), np.asarray(g, np.float64))
    return zero


CASES = [
    (skip_gram(negatives=5), lambda p, c: skipgram_by_loop(p, c, 5)),
    (cbow(negatives=5), lambda p, c: cbow_by_loop(p, c, 5, exact=False)),
    (cbow(negatives=2, exact=True), lambda p, c: cbow_by_loop(p, c, 2, exact=True)),
]


@pytest.mark.parametrize(("objective", "by_loop"), CASES, ids=["skipgram", "cbow", "cbow exact"])
def test_loss_and_gradient_are_their_definition(objective, by_loop):
    c, params = chunk(), tables()
    loss, weight, g = by_loop(tables(np.float64), c)
    rows = rows_of(objective, c, params)
    total, number = objective.loss(rows, c)["loss"]
    np.testing.assert_allclose(total, loss, rtol=1e-5)
    assert number == weight > 0
    for got, want in zip(summed(objective, c, objective.gradient(rows, c)), g, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    for half, whole in zip(objective.gradient(rows, c, factor=-0.5), objective.gradient(rows, c), strict=True):
        np.testing.assert_allclose(half, -0.5 * whole, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("objective", [skip_gram(), cbow(exact=True)], ids=["skipgram", "cbow exact"])
def test_the_gradient_is_that_of_the_loss(objective):
    c = chunk()
    rows = rows_of(objective, c, tables())
    by_jax = jax.grad(lambda r: objective.loss(r, c)["loss"][0])(rows)
    for got, want in zip(objective.gradient(rows, c), by_jax, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    for table in range(2):
        for place in [(0, 3, 1), (1, 1, 4), (1, R - 2, 2)]:
            if place[1] < rows[table].shape[1]:
                step = np.zeros(rows[table].shape, np.float32)
                step[place] = 1e-2
                up, down = (
                    objective.loss(rows._replace(**{rows._fields[table]: rows[table] + s * step}), c)["loss"][0]
                    for s in (1, -1)
                )
                np.testing.assert_allclose(by_jax[table][place], (up - down) / 2e-2, rtol=2e-2, atol=2e-3)


@pytest.mark.parametrize("objective", [skip_gram(), cbow()], ids=["skipgram", "cbow"])
def test_scores_that_are_far_out_give_numbers(objective):
    c = chunk()
    rows = jax.tree.map(lambda r: 1e3 * r, rows_of(objective, c, tables()))
    assert np.isfinite(objective.loss(rows, c)["loss"][0])
    assert all(np.isfinite(g).all() for g in objective.gradient(rows, c))


@pytest.mark.parametrize("objective", [skip_gram(), cbow()], ids=["skipgram", "cbow"])
def test_padding_has_no_part(objective):
    padding = chunk()._replace(left=jnp.zeros((K, B), jnp.int32), right=jnp.zeros((K, B), jnp.int32))
    rows = rows_of(objective, padding, tables())
    assert [float(x) for x in objective.loss(rows, padding)["loss"]] == [0, 0]
    assert not any(g.any() for g in objective.gradient(rows, padding))


# Noise contrastive estimation

K_NOISE = 5
P_NOISE = np.random.default_rng(7).dirichlet(np.ones(V))


def contrastive(whole):
    """The same with log k P of each word."""
    log_noise = np.log(K_NOISE * P_NOISE).astype(np.float32)
    return dataclasses.replace(whole, writer=Contrastive(whole.writer, log_noise))


def biased_tables(dtype=np.float32):
    bias = np.random.default_rng(8).normal(size=(V, 1)).astype(dtype)
    return Params(tables(dtype).input, Biased(tables(dtype).output, bias))


def contrastive_by_loop(params, chunk, by_mean):
    """J by Mnih and Kavukcuoglu's eqs. 6 and 7, each noise word shared by its block, and dJ by the tables."""
    loss, g = 0.0, jax.tree.map(np.zeros_like, params)
    for k in range(K):
        for i in range(B):
            around, centre = [int(chunk.ids[k, j]) for j in context_of(chunk, k, i)], int(chunk.ids[k, i + W])
            predictions = ([(around, centre)] if around else []) if by_mean else [([centre], j) for j in around]
            for given, predicted in predictions:
                h = np.mean([params.input[w] for w in given], axis=0)
                drawn = [(int(n), False, K_NOISE / N) for n in chunk.negatives[k]]
                for word, is_data, share in [(predicted, True, 1.0), *drawn]:
                    p = np.exp(h @ params.output.rows[word] + params.output.bias[word, 0])
                    is_noise = K_NOISE * P_NOISE[word] / (p + K_NOISE * P_NOISE[word])
                    loss -= share * np.log(1 - is_noise if is_data else is_noise)
                    by_score = share * ((1 - is_noise) - is_data)
                    g.output.rows[word] += by_score * h
                    g.output.bias[word] += by_score
                    for w in given:
                        g.input[w] += by_score * params.output.rows[word] / len(given)
    return loss, g


@pytest.mark.parametrize("whole", [skip_gram(K_NOISE), cbow(K_NOISE, exact=True)], ids=["skipgram", "cbow exact"])
def test_noise_contrastive_estimation_is_its_definition(whole):
    objective, c = contrastive(whole), chunk()
    loss, wanted = contrastive_by_loop(biased_tables(np.float64), c, isinstance(whole.reader, Context))
    rows = rows_of(objective, c, biased_tables())
    np.testing.assert_allclose(objective.loss(rows, c)["loss"][0], loss, rtol=1e-5)
    found = jax.tree.map(np.zeros_like, wanted)
    trees = (found, objective.rows(c), objective.gradient(rows, c))
    for table, ids, g in zip(*map(jax.tree.leaves, trees), strict=True):
        np.add.at(table, np.asarray(ids), np.asarray(g, np.float64))
    for got, want in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
