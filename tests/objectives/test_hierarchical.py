"""Hierarchical softmax against loops over its definition, finite differences and jax.grad."""
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embeddings.inputs.huffman import tree
from embeddings.inputs.paths import PathBatches
from embeddings.inputs.words import Batches
from embeddings.models.word2vec import Params
from embeddings.objectives.hierarchical import objective

V, D, B, W = 90, 5, 8, 2


@dataclasses.dataclass(frozen=True)
class Text:
    """Words by Zipf's law, lines of some ten words."""

    tokens: int = 60
    ids = np.minimum(np.random.default_rng(0).zipf(1.2, 60) - 1, V - 1).astype(np.int32)
    segments = np.cumsum(np.random.default_rng(1).random(60) < 0.1).astype(np.int32)

    def read(self, start, stop):
        return self.ids[start:stop], self.segments[start:stop]


COUNTS = (100_000 / np.arange(1, V + 1) ** 2).astype(np.int64) + 1
HUFFMAN = tree(COUNTS)
BATCHES = PathBatches(
    Batches(Text(), COUNTS, batch=60, window=W, block=B, chunk=2 * B, subsample=0.0, burst=0), HUFFMAN
)


def chunks():
    batch = BATCHES(0)
    assert batch.chunks >= 2
    return [batch.chunk(n) for n in range(int(batch.chunks))]


def tables(dtype=np.float32):
    rng = np.random.default_rng(2)
    return Params(*(rng.normal(size=(n, D), scale=0.5).astype(dtype) for n in (V, V - 1)))


def paths(word):
    """(node, code) of each turn to a word."""
    return [(int(turn) >> 1, int(turn) & 1) for turn in HUFFMAN.paths(np.array([word]))[0] if turn >= 0]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def predictions(algorithm):
    """(words that h is the mean of, word predicted) over the text: those around a centre one by one, or together."""
    kept = BATCHES.windows.kept(0)
    for i, word in enumerate(kept.ids.tolist()):
        around = [int(kept.ids[j]) for j in range(i - kept.left[i], i + kept.right[i] + 1) if j != i]
        yield from [(around, word)] if algorithm == "cbow" and around else []
        yield from (([other], word) for other in around if algorithm == "skipgram")


def by_loop(params, algorithm, exact):
    """J, the number of predictions, and dJ by the tables."""
    loss, weight, g = 0.0, 0, jax.tree.map(np.zeros_like, params)
    for given, word in predictions(algorithm):
        h, dh = np.mean([params.input[w] for w in given], axis=0), np.zeros(D)
        weight += 1
        for node, code in paths(word):
            s = h @ params.output[node]
            loss -= np.log(sigmoid((1 - 2 * code) * s))
            g.output[node] += (sigmoid(s) - (1 - code)) * h
            dh += (sigmoid(s) - (1 - code)) * params.output[node]
        for w in given:
            g.input[w] += dh / len(given) if exact else dh
    return loss, weight, g


def rows_of(whole, chunk, params):
    return jax.tree.map(lambda table, ids: jnp.asarray(table)[ids], params, whole.rows(chunk))


CASES = [("skipgram", False), ("cbow", False), ("cbow", True)]


@pytest.mark.parametrize(("algorithm", "exact"), CASES, ids=str)
def test_loss_and_gradient_are_their_definition(algorithm, exact):
    whole, sums = objective(HUFFMAN, algorithm, exact), np.zeros(2)
    loss, weight, wanted = by_loop(tables(np.float64), algorithm, exact)
    both = jax.jit(lambda rows, chunk: (whole.loss(rows, chunk)["loss"], whole.gradient(rows, chunk, factor=-2.0)))
    found = jax.tree.map(np.zeros_like, wanted)
    for chunk in chunks():
        of_chunk, gradient = both(rows_of(whole, chunk, tables()), chunk)
        sums += np.array(of_chunk)
        for table, ids, g in zip(found, whole.rows(chunk), gradient, strict=True):
            np.add.at(table, np.asarray(ids), np.asarray(g, np.float64))
    np.testing.assert_allclose(sums, (loss, weight), rtol=1e-5)
    for got, want in zip(found, wanted, strict=True):
        np.testing.assert_allclose(got, -2 * want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("algorithm", "exact"), [CASES[0], CASES[2]], ids=str)
def test_the_gradient_is_that_of_the_loss(algorithm, exact):
    whole, chunk = objective(HUFFMAN, algorithm, exact), chunks()[0]
    rows = rows_of(whole, chunk, tables())
    loss = jax.jit(lambda r: whole.loss(r, chunk)["loss"][0])
    by_jax = jax.grad(loss)(rows)
    for got, want in zip(whole.gradient(rows, chunk), by_jax, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    for name in Params._fields:
        step = 1e-2 * np.random.default_rng(3).normal(size=getattr(rows, name).shape).astype(np.float32)
        up, down = (loss(rows._replace(**{name: getattr(rows, name) + sign * step})) for sign in (1, -1))
        np.testing.assert_allclose(jnp.vdot(getattr(by_jax, name), step), (up - down) / 2, rtol=1e-2)


def test_the_probabilities_of_all_words_add_up_to_1():
    params = tables(np.float64)
    h = np.random.default_rng(4).normal(size=D)
    p = [np.prod([sigmoid((1 - 2 * code) * (h @ params.output[node])) for node, code in paths(w)]) for w in range(V)]
    assert sum(p) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("algorithm", ["skipgram", "cbow"])
def test_padding_has_no_part_and_scores_that_are_far_out_give_numbers(algorithm):
    whole, chunk = objective(HUFFMAN, algorithm), chunks()[0]
    zero = {name: jnp.zeros_like(getattr(chunk, name)) for name in ("left", "right", "lefts", "rights")}
    rows = rows_of(whole, chunk, tables())
    assert [float(x) for x in whole.loss(rows, chunk._replace(**zero))["loss"]] == [0, 0]
    assert not any(g.any() for g in whole.gradient(rows, chunk._replace(**zero)))
    large = jax.tree.map(lambda r: 1e3 * r, rows)
    assert np.isfinite(whole.loss(large, chunk)["loss"][0])
    assert all(np.isfinite(g).all() for g in whole.gradient(large, chunk))
