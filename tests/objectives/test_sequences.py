"""Losses of sequences, against loops over their definitions and finite differences."""
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embeddings.models import character_cnn, elmo
from embeddings.objectives import sequences
from embeddings.objectives.sequences import BidirectionalLm, Sentences

MODEL = elmo.Config(
    character_cnn.Config(3, ((1, 4), (2, 5)), "tanh", highways=0, longest=6), width=4, cells=5, dropout=0.5
)  # nothing with a kink, for finite differences
CONFIG = BidirectionalLm(MODEL, vocabulary=11)
V, D = 11, 4
loss = jax.jit(sequences.bidirectional_lm, static_argnums=1)


@functools.cache
def parameters(seed=0, scale=0.5):
    shapes = jax.eval_shape(lambda: {
        "model": elmo.init(jax.random.key(0), MODEL), "objective": sequences.init_softmax(jax.random.key(0), CONFIG)
    })
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape, scale=scale), jnp.float32), shapes)


def batch():
    """One row of two sentences, one of a single word, one full, one empty."""
    rng = np.random.default_rng(1)
    segments = np.array([[1, 1, 1, 2, 2, 0], [1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1], [0] * 6])
    characters = rng.integers(1, 262, (4, 6, 6)) * (segments > 0)[..., None]
    text = elmo.Batch(jnp.asarray(characters), jnp.asarray(segments))
    return Sentences(text, jnp.asarray(rng.integers(0, V, (4, 6))))


def pairs(segments, step):
    """Each place that predicts, and the one that it predicts."""
    B, T = segments.shape
    return [(b, t, t + step) for b in range(B) for t in range(T)
            if 0 <= t + step < T and segments[b, t] == segments[b, t + step] > 0]


def test_both_directions_predict_what_stands_next_to_them():
    params, given = parameters(), batch()
    hidden = np.asarray(elmo.apply(params["model"], MODEL, given.text).hidden, np.float64)
    u, b = (np.asarray(params["objective"][name], np.float64) for name in ("kernel", "bias"))
    want = {}
    for name, h, step in (("forward", hidden[..., :D], 1), ("backward", hidden[..., D:], -1)):
        total, places = 0.0, pairs(np.asarray(given.text.segments), step)
        for row, t, other in places:
            s = u @ h[row, t] + b
            total += np.log(np.exp(s).sum()) - s[int(given.ids[row, other])]
        want[name] = total, len(places)
    assert want["forward"][1] == want["backward"][1] == 8
    found = loss(params, CONFIG, given)
    for name in want:
        np.testing.assert_allclose(found[name], want[name], rtol=1e-5)
    np.testing.assert_allclose(found["loss"], np.sum(list(want.values()), axis=0), rtol=1e-5)


@pytest.mark.parametrize("samples", [0, 6])
def test_the_cross_entropy_is_the_definitions(samples):
    rng = np.random.default_rng(2)
    h, ids, there = rng.normal(size=(2, 3, D)), rng.integers(0, V, (2, 3)), rng.random((2, 3)) < 0.7
    u, b = rng.normal(size=(V, D)), rng.normal(size=V)
    drawn = None if not samples else np.sort([0, 0, *ids[0, :2], 5, 9])
    q = np.log((np.arange(V) + 2) / (np.arange(V) + 1)) / np.log(V + 1)
    want = 0.0
    for row, t in zip(*np.nonzero(there), strict=True):
        own, s = ids[row, t], u @ h[row, t] + b
        among, true = s, s[own]
        if samples:
            s = s - np.log(1 - (1 - q) ** samples)
            true = s[own]
            among = np.array([true, *(s[w] for w in set(drawn) - {own})])
        want += np.log(np.exp(among).sum()) - true
    softmax = {"kernel": jnp.asarray(u, jnp.float32), "bias": jnp.asarray(b, jnp.float32)}
    given = jnp.asarray(h, jnp.float32), jnp.asarray(ids), jnp.asarray(there)
    drawn = None if drawn is None else jnp.asarray(drawn)
    np.testing.assert_allclose(sequences.cross_entropy(softmax, *given, drawn), want, rtol=1e-5)


def test_a_word_that_only_itself_was_drawn_for_costs_nothing():
    softmax = {"kernel": jnp.ones((V, D)), "bias": jnp.zeros(V)}
    given = jnp.ones((1, 1, D)), jnp.full((1, 1), 3), jnp.ones((1, 1), bool), jnp.full(4, 3)
    value, gradient = jax.value_and_grad(sequences.cross_entropy)(softmax, *given)
    assert value == 0 and not any(g.any() for g in jax.tree.leaves(gradient))


def test_words_are_drawn_with_their_probabilities():
    V, n = 50, 200_000
    drawn = np.asarray(sequences.log_uniform(jax.random.key(0), n, V))
    assert drawn.min() == 0 and drawn.max() == V - 1
    assert (np.diff(drawn) >= 0).all()
    q = np.log((np.arange(V) + 2) / (np.arange(V) + 1)) / np.log(V + 1)
    np.testing.assert_allclose(q.sum(), 1)
    counts = np.bincount(drawn, minlength=V)
    assert np.sum((counts - n * q) ** 2 / (n * q)) < 95  # the chi-squared of 49 degrees is above that once in 10,000
    large = np.asarray(sequences.log_uniform(jax.random.key(1), n, 793471))
    assert large.min() >= 0 and large.max() < 793471 and large.max() > 700_000


def test_learning_from_drawn_words_ends_at_the_frequencies_of_words():
    """Few draws a step: the softmax that costs least still has p(w) = how often w is predicted, as the exact one."""
    ids = jnp.asarray(np.random.default_rng(0).choice(5, (1, 400), p=[0.1, 0.3, 0.15, 0.4, 0.05]))
    want = np.bincount(np.asarray(ids[0]), minlength=5) / 400
    h, there = jnp.ones((1, 400, 1)), jnp.ones((1, 400), bool)

    @jax.jit
    def learnt(softmax):
        def step(n, softmax):
            drawn = sequences.log_uniform(jax.random.fold_in(jax.random.key(0), n), 3, 5)
            gradient = jax.grad(sequences.cross_entropy)(softmax, h, ids, there, drawn)
            return jax.tree.map(lambda p, g: p - g / 4000, softmax, gradient)

        return jax.lax.fori_loop(0, 4000, step, softmax)

    softmax = learnt({"kernel": jnp.zeros((5, 1)), "bias": jnp.zeros(5)})
    np.testing.assert_allclose(jax.nn.softmax(softmax["kernel"][:, 0] + softmax["bias"]), want, atol=0.03)


def test_gradients_are_those_of_finite_differences():
    """Through the words drawn, both directions, dropout and the model; and through all words, from h on."""
    config, given, key = dataclasses.replace(CONFIG, samples=6), batch(), jax.random.key(5)
    h, there = jnp.asarray(np.random.default_rng(3).normal(size=(4, 6, D)), jnp.float32), given.text.segments > 0

    def through_the_model(params):
        return sequences.bidirectional_lm(params, config, given, key=key)["loss"][0]

    def through_all_words(params):
        return sequences.cross_entropy(params["objective"], h, given.ids, there)

    for loss in map(jax.jit, (through_the_model, through_all_words)):
        params, direction, step = parameters(), parameters(seed=1, scale=0.1), 3e-3
        gradient = jax.jit(jax.grad(loss))(params)
        assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradient))
        slope = sum(map(jnp.vdot, jax.tree.leaves(gradient), jax.tree.leaves(direction)))
        ahead, behind = (loss(jax.tree.map(lambda p, d, s=s: p + s * d, params, direction)) for s in (step, -step))
        np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), rtol=1e-2)


def test_without_a_key_nothing_is_dropped_or_drawn():
    config, params, given = dataclasses.replace(CONFIG, samples=6), parameters(), batch()
    exact, drawn = loss(params, CONFIG, given), loss(params, config, given, key=jax.random.key(0))
    np.testing.assert_allclose(loss(params, config, given)["loss"], exact["loss"], rtol=1e-6)
    assert drawn["loss"][1] == exact["loss"][1] and abs(drawn["loss"][0] - exact["loss"][0]) > 0.1
