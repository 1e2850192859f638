"""Words from characters, against loops over the definition."""
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embeddings.models import character_cnn
from embeddings.tokenizers.characters import Characters

SMALL = character_cnn.Config(width=3, filters=((1, 4), (3, 5)), highways=2, longest=8)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_loop(params, config, characters):
    """x of one word."""
    params = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
    c = [params["embedding"][number - 1] for number in characters]
    y = []
    for n, (w, number) in enumerate(config.filters):
        kernel, bias = params["filters"][str(n)]["kernel"], params["filters"][str(n)]["bias"]
        for f in range(number):
            places = range(len(c) - w + 1)
            largest = max(sum(kernel[o, :, f] @ c[p + o] for o in range(w)) for p in places) + bias[f]
            y.append(max(largest, 0) if config.activation == "relu" else np.tanh(largest))
    y = np.array(y)
    for h in range(config.highways):
        g = sigmoid(y @ params["carry"]["kernel"][h] + params["carry"]["bias"][h])
        y = g * np.maximum(y @ params["transform"]["kernel"][h] + params["transform"]["bias"][h], 0) + (1 - g) * y
    return y @ params["projection"]["kernel"] + params["projection"]["bias"]


def parameters(config, width, seed=0, scale=0.5):
    """Nothing at 0."""
    shapes = jax.eval_shape(lambda: character_cnn.init(jax.random.key(0), config, width))
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape, scale=scale), jnp.float32), shapes)


@pytest.mark.parametrize(("activation", "highways"), [("relu", 0), ("tanh", 2)])
def test_words_are_what_the_equations_say(activation, highways):
    config = character_cnn.Config(3, SMALL.filters, activation, highways, SMALL.longest)
    params = parameters(config, 6)
    words = ["", "a", "été", "longer than eight"]
    ids = Characters(config.longest).ids(words).reshape(2, 2, -1)
    found = character_cnn.apply(params, config, jnp.asarray(ids), "float32")
    want = [by_loop(params, config, word) for word in ids.reshape(4, -1)]
    np.testing.assert_allclose(found.reshape(4, -1), want, rtol=1e-4, atol=1e-5)


def test_the_start_is_that_of_the_authors_program():
    config = character_cnn.Config(16, ((3, 400),), "relu", 1, 10)
    params = character_cnn.init(jax.random.key(0), config, 50)
    assert np.abs(params["embedding"]).max() <= 1 and params["embedding"].shape == (261, 16)
    np.testing.assert_allclose(params["filters"]["0"]["kernel"].std(), 0.1 / np.sqrt(12), rtol=0.03)
    assert (params["carry"]["bias"] == -2).all() and not params["transform"]["bias"].any()
    for name in ("carry", "transform", "projection"):
        np.testing.assert_allclose(params[name]["kernel"].std(), 400**-0.5, rtol=0.03)
    of_tanh = character_cnn.init(jax.random.key(0), dataclasses.replace(config, activation="tanh", highways=0), 50)
    np.testing.assert_allclose(of_tanh["filters"]["0"]["kernel"].std(), 1 / np.sqrt(3 * 16), rtol=0.03)


def test_gradients_are_those_of_finite_differences():
    params = parameters(SMALL, 4)
    ids = jnp.asarray(Characters(8).ids(["one", "two"]))[None]
    direction = parameters(SMALL, 4, seed=1, scale=0.2)

    @jax.jit
    def loss(params):
        return jnp.sum(jnp.sin(character_cnn.apply(params, SMALL, ids, "float32")))

    slope = sum(map(jnp.vdot, jax.tree.leaves(jax.jit(jax.grad(loss))(params)), jax.tree.leaves(direction)))
    step = 1e-3
    ahead, behind = (loss(jax.tree.map(lambda p, d, s=s: p + s * d, params, direction)) for s in (step, -step))
    np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), rtol=2e-2)
