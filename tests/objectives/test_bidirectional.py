"""The loss of a bidirectional language model, against loops over their definitions and finite differences."""
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from embeddings.models import character_cnn, elmo
from embeddings.models.dropout import row_keys
from embeddings.objectives import bidirectional
from embeddings.objectives.bidirectional import Batch, BidirectionalLanguageModel

MODEL = elmo.Config(
    character_cnn.Config(3, ((1, 4), (2, 5)), "tanh", highways=0, longest=6), width=4, cells=5, dropout=0.5
)  # nothing with a kink, for finite differences
V, D = 11, 4
EXACT, DRAWN = BidirectionalLanguageModel(MODEL, V), BidirectionalLanguageModel(MODEL, V, draws=6)
loss = jax.jit(lambda objective, *given: objective.loss(*given), static_argnums=0)


@functools.cache
def parameters(seed=0, scale=0.5):
    shapes = jax.eval_shape(lambda: {
        "model": elmo.init(jax.random.key(0), MODEL), "objective": EXACT.init(jax.random.key(0))
    })
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape, scale=scale), jnp.float32), shapes)


def batch():
    """One row of two sentences, one of a single word, one full, one empty."""
    rng = np.random.default_rng(1)
    segments = np.array([[1, 1, 1, 2, 2, 0], [1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1], [0] * 6])
    characters = rng.integers(1, 262, (4, 6, 6)) * (segments > 0)[..., None]
    text = elmo.Batch(jnp.asarray(characters), jnp.asarray(segments))
    return Batch(text, jnp.asarray(rng.integers(0, V, (4, 6))), jnp.asarray(12), jnp.asarray(3))


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
    found = loss(EXACT, params, given)
    for name in want:
        np.testing.assert_allclose(found[name], want[name], rtol=1e-5)
    np.testing.assert_allclose(found["loss"], np.sum(list(want.values()), axis=0), rtol=1e-5)


def test_the_loss_among_words_drawn_is_the_definitions():
    rng = np.random.default_rng(2)
    h, ids, u, b = rng.normal(size=(2, 3, D)), rng.integers(0, V, (2, 3)), rng.normal(size=(V, D)), rng.normal(size=V)
    drawn = np.sort([0, 0, *ids[0, :2], 5, 9])
    q = np.log((np.arange(V) + 2) / (np.arange(V) + 1)) / np.log(V + 1)
    want = np.zeros((2, 3))
    for row, t in np.ndindex(2, 3):
        own, s = ids[row, t], u @ h[row, t] + b - np.log(1 - (1 - q) ** 6)
        want[row, t] = np.log(sum(np.exp(s[w]) for w in {own, *drawn})) - s[own]
    softmax = {"kernel": jnp.asarray(u, jnp.float32), "bias": jnp.asarray(b, jnp.float32)}
    found = bidirectional.sampled(softmax, jnp.asarray(h, jnp.float32), jnp.asarray(ids), jnp.asarray(drawn))
    np.testing.assert_allclose(found, want, rtol=1e-5)


def test_a_word_that_nothing_else_was_drawn_for_costs_nothing():
    softmax, given = {"kernel": jnp.ones((V, D)), "bias": jnp.zeros(V)}, (jnp.full((1, 1), 3), jnp.full(4, 3))
    value, gradient = jax.value_and_grad(lambda p: bidirectional.sampled(p, jnp.ones((1, 1, D)), *given)[0, 0])(softmax)
    assert value == 0 and not any(g.any() for g in jax.tree.leaves(gradient))


def test_words_are_drawn_with_their_probabilities():
    V, n = 50, 200_000
    drawn = np.asarray(bidirectional.log_uniform(jax.random.key(0), n, V))
    assert drawn.min() == 0 and drawn.max() == V - 1
    assert (np.diff(drawn) >= 0).all()
    q = np.log((np.arange(V) + 2) / (np.arange(V) + 1)) / np.log(V + 1)
    np.testing.assert_allclose(q.sum(), 1)
    counts = np.bincount(drawn, minlength=V)
    assert np.sum((counts - n * q) ** 2 / (n * q)) < 95  # the chi-squared of 49 degrees is above that once in 10,000
    large = np.asarray(bidirectional.log_uniform(jax.random.key(1), n, 793471))
    assert large.min() >= 0 and large.max() < 793471 and large.max() > 700_000


def test_learning_from_drawn_words_ends_at_the_frequencies_of_words():
    """Few draws a step: the softmax that costs least still has p(w) = how often w is predicted, as the exact one."""
    ids = jnp.asarray(np.random.default_rng(0).choice(5, (1, 400), p=[0.1, 0.3, 0.15, 0.4, 0.05]))
    want = np.bincount(np.asarray(ids[0]), minlength=5) / 400
    h = jnp.ones((1, 400, 1))

    @jax.jit
    def learnt(softmax):
        def step(n, softmax):
            drawn = bidirectional.log_uniform(jax.random.fold_in(jax.random.key(0), n), 3, 5)
            gradient = jax.grad(lambda softmax: jnp.mean(bidirectional.sampled(softmax, h, ids, drawn)))(softmax)
            return jax.tree.map(lambda p, g: p - g / 10, softmax, gradient)

        return jax.lax.fori_loop(0, 4000, step, softmax)

    softmax = learnt({"kernel": jnp.zeros((5, 1)), "bias": jnp.zeros(5)})
    np.testing.assert_allclose(jax.nn.softmax(softmax["kernel"][:, 0] + softmax["bias"]), want, atol=0.03)


def test_gradients_are_those_of_finite_differences():
    objective, given, keys = DRAWN, batch(), row_keys(jax.random.key(5), 4)
    params, direction, step = parameters(), parameters(seed=1, scale=0.1), 3e-3
    gradient = jax.jit(jax.grad(lambda params: objective.loss(params, given, keys)["loss"][0]))(params)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradient))
    slope = sum(map(jnp.vdot, jax.tree.leaves(gradient), jax.tree.leaves(direction)))
    moved = (jax.tree.map(lambda p, d, s=s: p + s * d, params, direction) for s in (step, -step))
    ahead, behind = (loss(objective, params, given, keys)["loss"][0] for params in moved)
    np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), rtol=1e-2)


def test_draws_are_of_the_batch_and_the_seed_and_the_same_for_each_part_of_it():
    params, given, keys = parameters(), batch(), row_keys(jax.random.key(5), 4)

    def value(given, keys, objective=DRAWN):
        return np.array(loss(objective, params, given, keys)["loss"])

    whole = value(given, keys)
    parts = [given._replace(text=jax.tree.map(lambda a, b=b: a[b : b + 2], given.text), ids=given.ids[b : b + 2])
             for b in (0, 2)]
    found = value(parts[0], keys[:2]) + value(parts[1], keys[2:])
    np.testing.assert_allclose(found, whole, rtol=1e-5)
    others = (given._replace(number=jnp.asarray(4)), DRAWN), (given, dataclasses.replace(DRAWN, seed=1))
    assert all(abs(value(other, keys, objective) - whole)[0] > 1e-3 for other, objective in others)
