import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import plain_transformer as plain
import pytest

from embeddings.inputs.sequences import Tokens
from embeddings.models import gpt

STACK = dataclasses.replace(
    gpt.Config().stack, layers=2, width=8, heads=2, head_width=4, feed_forward=12, dropout=0.2, attention_dropout=0.0
)
SMALL = gpt.Config(11, 6, STACK)
TOKENS = Tokens(*(jnp.array(rows) for rows in (
    [[3, 1, 4, 1, 5], [9, 2, 6, 0, 0]], [[1, 1, 1, 2, 2], [1, 1, 1, 0, 0]], [[0, 1, 2, 0, 1], [0, 1, 2, 0, 0]],
    [[0] * 5] * 2)))


@pytest.fixture(scope="module")
def params():
    draw = np.random.default_rng(3)
    shapes = jax.eval_shape(lambda: gpt.init(jax.random.key(0), SMALL))
    return jax.tree.map(lambda leaf: jnp.asarray(draw.normal(0, 0.5, leaf.shape), jnp.float32), shapes)


def test_it_is_the_definition(params):
    q = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    out = jax.jit(lambda p: gpt.apply(p, SMALL, TOKENS, outputs={"states", "attention"}))(params)
    for row in range(2):
        ids, segments, positions, _ = (np.asarray(part[row]) for part in TOKENS)
        layers = [jax.tree.map(lambda leaf, n=n: leaf[n], q["transformer"]["layers"]) for n in range(2)]
        states, weights = plain.stack(q["words"][ids] + q["positions"][positions], layers, q["transformer"]["norm"],
                                      STACK, segments)
        np.testing.assert_allclose(out.states[:, row], states, atol=2e-5)
        np.testing.assert_allclose(out.attention[:, row], np.stack(weights), atol=2e-5)
        np.testing.assert_allclose(gpt.logits(params, SMALL, out.hidden[row]), states[-1] @ q["words"].T, atol=1e-4)


def test_words_are_dropped_by_rows(params):
    keys = gpt.row_keys(jax.random.key(1), 2)
    apply = jax.jit(lambda p, tokens, keys: gpt.apply(p, SMALL, tokens, key=keys).hidden)
    both = apply(params, TOKENS, keys)
    np.testing.assert_allclose(apply(params, Tokens(*(part[:1] for part in TOKENS)), keys[:1]), both[:1], atol=1e-5)
    assert np.abs(both - apply(params, TOKENS, keys[::-1])).max() > 0.1


def test_parameters_start_as_told():
    """What is added to x starts smaller by the square root of how often something is."""
    wide = dataclasses.replace(SMALL, stack=dataclasses.replace(STACK, width=32, heads=8, feed_forward=64))
    p = gpt.init(jax.random.key(0), wide)
    layers = p["transformer"]["layers"]
    for part, name, share in (("attention", "query", 1), ("feed_forward", "input", 1), ("attention", "output", 0.5),
                              ("feed_forward", "output", 0.5)):
        assert np.std(layers[part][name]["kernel"]) == pytest.approx(0.02 * share, rel=0.1)
    assert (p["words"].shape, p["positions"].shape, wide.longest) == ((11, 32), (6, 32), 6)
    kept = dataclasses.replace(SMALL, stack=dataclasses.replace(STACK, kept=((0,), (0, 1))))
    p = jax.eval_shape(lambda: gpt.init(jax.random.key(0), kept))
    kernels = [layer["attention"]["output"]["kernel"] for layer in p["transformer"]["layers"]]
    assert [kernel.shape for kernel in kernels] == [(1, 4, 8), (2, 4, 8)]
