"""Vectors of texts from the states of their tokens, beside loops over the definitions."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from embeddings.models.pooling import ACTIVATIONS, NORMALIZE, POOLINGS, after_pooling, pooled, unit

B, T, D, S = 2, 9, 4, 3
STATES = jax.random.normal(jax.random.key(0), (B, T, D))
COUNTED = jnp.array([[1, 1, 1, 2, 2, 0, 0, 0, 0], [0, 1, 1, 1, 0, 2, 3, 3, 3]])
POSITIONS = jnp.array([[0, 1, 2, 0, 1, 0, 0, 0, 0], [0, 1, 2, 3, 0, 0, 0, 1, 2]])
"""The second row's first text has a prompt that does not count."""


def by_loop(how, row, text):
    h = np.asarray(STATES[row], np.float64)[np.asarray(COUNTED[row]) == text]
    p = np.asarray(POSITIONS[row])[np.asarray(COUNTED[row]) == text] + 1.0
    if not len(h):
        return np.zeros(D)
    return {
        "cls": h[0], "max": h.max(axis=0), "mean": h.sum(axis=0) / len(h),
        "mean_sqrt_len_tokens": h.sum(axis=0) / np.sqrt(len(h)),
        "weightedmean": (p[:, None] * h).sum(axis=0) / p.sum(), "lasttoken": h[-1],
    }[how]


@pytest.mark.parametrize("how", POOLINGS)
def test_it_is_the_definition(how):
    got = pooled(how, STATES, COUNTED, POSITIONS, S)
    expected = [[by_loop(how, row, text) for text in range(1, S + 1)] for row in range(B)]
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert not np.any(got[0, 2]), "no text, zeros"


@pytest.mark.parametrize("how", POOLINGS)
def test_gradients_are_finite_and_stay_in_the_text(how):
    def one(states):
        return jnp.sum(pooled(how, states, COUNTED, POSITIONS, S)[0, 1] ** 2)

    gradient = np.array(jax.grad(one)(STATES))
    assert np.isfinite(gradient).all() and np.any(gradient[0, 3:5])
    gradient[0, 3:5] = 0
    assert not gradient.any()


def test_unit_of_zeros():
    assert not np.any(unit(jnp.zeros((2, 3)))) and np.isfinite(jax.grad(lambda v: unit(v).sum())(jnp.zeros(3))).all()
    np.testing.assert_allclose(unit(jnp.array([3.0, 4.0])), [0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_steps_after_pooling(activation):
    draw = np.random.default_rng(0)
    kernel, bias, vectors = draw.normal(size=(D, 5)), draw.normal(size=5), draw.normal(size=(B, S, D))
    params = ((jnp.float32(kernel), jnp.float32(bias)), ())
    got = after_pooling(jnp.float32(vectors), ((activation, 0), (NORMALIZE, 1)), params)
    y = vectors @ kernel + bias
    y = {"identity": y, "tanh": np.tanh(y), "relu": np.maximum(y, 0), "gelu": y * (1 + erf(y / np.sqrt(2))) / 2,
         "sigmoid": 1 / (1 + np.exp(-y))}[activation]
    np.testing.assert_allclose(got, y / np.linalg.norm(y, axis=-1, keepdims=True), atol=1e-6)
    plain = after_pooling(jnp.float32(vectors), (("identity", 0),), ((jnp.float32(kernel), None),))
    np.testing.assert_allclose(plain, vectors @ kernel, atol=1e-5)
