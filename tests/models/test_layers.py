import math

import jax
import jax.numpy as jnp
import numpy as np
import plain_transformer as plain
import pytest

from embeddings.models import layers
from embeddings.models.layers import ACTIVATIONS, Attention, FeedForward, Linear, Norm

X = jax.random.normal(jax.random.key(0), (2, 3, 8))


def float64(tree):
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)


def drawn(module, *inputs, **how):
    """Parameters without zeros."""
    draw = np.random.default_rng(1)
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(1), *inputs, **how))["params"]
    return jax.tree.map(lambda leaf: jnp.asarray(draw.normal(size=leaf.shape), jnp.float32), shapes)


@pytest.mark.parametrize(("inputs", "outputs"), [((8,), (5,)), ((8,), (2, 4)), ((3, 8), (5,))])
def test_a_linear_map_sums_over_the_axes_it_is_told(inputs, outputs):
    module = Linear(inputs, outputs)
    p = drawn(module, X)
    assert (p["kernel"].shape, p["bias"].shape) == ((*inputs, *outputs), outputs)
    flat = np.asarray(X, np.float64).reshape(*X.shape[: 3 - len(inputs)], -1)
    kernel = np.asarray(p["kernel"], np.float64).reshape(flat.shape[-1], -1)
    expected = (flat @ kernel).reshape(*flat.shape[:-1], *outputs) + np.asarray(p["bias"])
    np.testing.assert_allclose(module.apply({"params": p}, X), expected, atol=1e-5)


def test_parameters_start_as_told():
    drawn = layers.normal(jax.random.key(0), (100, 5, 20), 0.5)
    assert drawn.shape == (100, 5, 20) and np.std(drawn) == pytest.approx(0.5, rel=0.05)
    p = Norm(4).init(jax.random.key(0), jnp.ones((1, 4)))["params"]
    assert (p["scale"].tolist(), p["bias"].tolist()) == ([1] * 4, [0] * 4)


@pytest.mark.parametrize("epsilon", [1e-12, 0.5])
def test_layer_norm(epsilon):
    module = Norm(8, epsilon)
    p = drawn(module, X)
    expected = plain.norm(np.asarray(X, np.float64), float64(p), epsilon)
    np.testing.assert_allclose(module.apply({"params": p}, X), expected, atol=1e-5)
    far = module.apply({"params": p}, X + 1000.0)
    np.testing.assert_allclose(far, expected, atol=2e-3)
    assert module.apply({"params": p}, X.astype(jnp.bfloat16)).dtype == jnp.float32


def test_activations():
    x = jnp.linspace(-6, 6, 101)
    for name, function in ACTIVATIONS.items():
        np.testing.assert_allclose(function(x), plain.FUNCTIONS[name](np.asarray(x, np.float64)), atol=1e-6)
    assert np.abs(ACTIVATIONS["gelu"](x) - ACTIVATIONS["gelu_tanh"](x)).max() > 1e-4


def test_the_feed_forward_network():
    for activation in ACTIVATIONS:
        module = FeedForward(8, 6, activation)
        p = drawn(module, X)
        q = float64(p)
        for x, y in zip(np.asarray(X, np.float64), module.apply({"params": p}, X), strict=True):
            inner = plain.FUNCTIONS[activation](plain.linear(x, q["input"]))
            np.testing.assert_allclose(y, plain.linear(inner, q["output"]), atol=1e-4)


def test_heads_add_up():
    """The sum over heads is what one matrix does to all of them side by side; a mask weighs each."""
    module = Attention(8, 2, 3)
    segments = jnp.ones((2, 3), jnp.int32)
    p = drawn(module, X, segments, method=lambda m, x, s: m.merge(m.heads(x, s)[0]))
    z, _ = module.apply({"params": p}, X, segments, method=Attention.heads)
    for b in range(2):
        expected, _ = plain.heads(np.asarray(X[b], np.float64), np.asarray(X[b], np.float64), float64(p), [1] * 3,
                                  [1] * 3)
        np.testing.assert_allclose(z[b], expected, atol=1e-4)
    whole = module.apply({"params": p}, z, method=Attention.merge)
    side_by_side = np.asarray(z).reshape(2, 3, -1) @ np.asarray(p["output"]["kernel"]).reshape(-1, 8)
    np.testing.assert_allclose(whole, side_by_side + p["output"]["bias"], atol=1e-5)
    parts = [module.apply({"params": p}, z, jnp.eye(2)[h], method=Attention.merge) for h in range(2)]
    np.testing.assert_allclose(sum(parts) - p["output"]["bias"], whole, atol=1e-5)


@pytest.mark.parametrize("width", [6, 7])
def test_sinusoids(width):
    found = layers.sinusoids(jnp.array([[0, 1, 500]]), width)
    for place, row in zip((0, 1, 500), found[0], strict=True):
        for i, value in enumerate(row):
            angle = place / 10000 ** (2 * (i // 2) / width)
            assert value == pytest.approx(math.sin(angle) if i % 2 == 0 else math.cos(angle), abs=3e-5)


def bucket(ahead, buckets, furthest):
    """Raffel et al. 2020 in words: half of the buckets ahead; of each half, single steps, then by logarithm."""
    half = buckets // 2
    distance, offset = abs(ahead), half if ahead > 0 else 0
    if distance < half // 2:
        return offset + distance
    share = math.log(distance / (half // 2)) / math.log(furthest / (half // 2))
    return offset + min(half - 1, half // 2 + int(share * (half - half // 2) + 1e-6))


@pytest.mark.parametrize(("buckets", "furthest"), [(32, 128), (8, 20)])
def test_buckets_of_distances(buckets, furthest):
    ahead = np.arange(-300, 301)
    found = layers.distance_buckets(ahead, buckets, furthest)
    assert found.tolist() == [bucket(int(n), buckets, furthest) for n in ahead]
    assert set(found.tolist()) == set(range(buckets)) - {buckets // 2}, "nothing is 0 steps ahead"


def test_the_bias_of_distances_is_the_buckets():
    table = jax.random.normal(jax.random.key(0), (8, 3))
    bias = np.asarray(layers.distance_bias(table, 30, furthest=20))
    assert bias.shape == (3, 30, 30)
    for t in range(30):
        for s in range(30):
            np.testing.assert_array_equal(bias[:, t, s], table[bucket(s - t, 8, 20)])


def test_scores_of_words():
    words = jax.random.normal(jax.random.key(0), (4, 8))
    states = X.reshape(-1, 8)
    np.testing.assert_allclose(layers.scores(states, words, jnp.float32), np.asarray(states) @ np.asarray(words).T,
                               atol=1e-5)
    low = layers.scores(states, words, jnp.bfloat16)
    assert low.dtype == jnp.float32
    np.testing.assert_allclose(low, np.asarray(states) @ np.asarray(words).T, atol=0.1)
