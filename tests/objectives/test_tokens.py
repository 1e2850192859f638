"""Losses over tokens against loops over their definitions."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from embeddings.inputs.sequences import Tokens
from embeddings.objectives.tokens import END, START, Loss, Spans, Tags

B, T, D = 3, 12, 5
SEGMENTS = np.array([[1] * 5 + [2] * 4 + [0] * 3, [1] * 12, [1] * 3 + [2] * 3 + [3] * 6])


def case(loss, seed=0):
    """States, tokens and parameters that are no zeros."""
    draw = np.random.default_rng(seed)
    states = draw.normal(size=(B, T, D)).astype(np.float32)
    zeros = np.zeros((B, T), np.int32)
    params = loss.init(jax.random.key(seed), D)
    if "bias" in params:
        params["bias"] = jnp.asarray(draw.normal(size=params["bias"].shape), jnp.float32)
    return params, states, Tokens(zeros, SEGMENTS.astype(np.int32), zeros, zeros)


def log_softmax(x):
    return x - np.log(np.exp(x).sum())


def spans(seed=1):
    """An answer in each text, of one token, of several, or none."""
    draw, marks = np.random.default_rng(seed), np.zeros((B, T), np.int32)
    for row in range(B):
        for text in range(1, SEGMENTS[row].max() + 1):
            places = np.flatnonzero(SEGMENTS[row] == text)
            start, end = sorted(draw.integers(0, len(places), 2))
            marks[row, places[start]] |= START
            marks[row, places[end]] |= END
    return marks


def test_tags_are_the_mean_over_marked_tokens():
    loss = Tags(4)
    params, states, tokens = case(loss)
    marks = np.random.default_rng(1).integers(0, 5, (B, T)) * (SEGMENTS > 0)
    w, b = (np.asarray(params[name], np.float64) for name in ("kernel", "bias"))
    each = [log_softmax(states[at] @ w + b) for at in zip(*np.nonzero(marks), strict=True)]
    classes = marks[marks > 0] - 1
    sums = loss.loss(params, jnp.asarray(states), tokens, jnp.asarray(marks))
    assert float(sums["loss"][0]) == pytest.approx(-sum(s[c] for s, c in zip(each, classes, strict=True)), rel=1e-5)
    assert float(sums["accuracy"][0]) == sum(s.argmax() == c for s, c in zip(each, classes, strict=True))
    assert float(sums["loss"][1]) == len(classes) == float(sums["accuracy"][1])


def test_spans_are_softmaxes_over_the_tokens_of_each_text():
    loss = Spans()
    params, states, tokens = case(loss)
    marks = spans()
    w = np.asarray(params["kernel"], np.float64)
    total, right, texts = 0.0, 0.0, 0
    for row in range(B):
        for text in range(1, SEGMENTS[row].max() + 1):
            places, texts = np.flatnonzero(SEGMENTS[row] == text), texts + 1
            s = states[row, places] @ w
            for end, bit in enumerate((START, END)):
                p, chosen = log_softmax(s[:, end]), np.flatnonzero(marks[row, places] & bit)[0]
                total -= p[chosen] / 2
                right += (p.argmax() == chosen) / 2
    sums = loss.loss(params, jnp.asarray(states), tokens, jnp.asarray(marks))
    assert float(sums["loss"][0]) == pytest.approx(total, rel=1e-5)
    assert float(sums["accuracy"][0]) == right
    assert float(sums["loss"][1]) == texts == 6


@pytest.mark.parametrize("loss", [Tags(4), Spans()], ids=str)
def test_gradients_agree_with_finite_differences(loss):
    params, states, tokens = case(loss)
    marks = jnp.asarray(spans())

    def total(params, states):
        return loss.loss(params, states, tokens, marks)["loss"][0]

    assert isinstance(loss, Loss)
    gradient = jax.grad(total, argnums=(0, 1))(params, jnp.asarray(states))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    draw, step = np.random.default_rng(2), 1e-2
    for _ in range(3):
        way = jax.tree.map(lambda a: jnp.asarray(draw.normal(size=a.shape), jnp.float32), (params, states))
        ahead, behind = (
            total(*jax.tree.map(lambda a, d, sign=sign: a + sign * step * d, (params, jnp.asarray(states)), way))
            for sign in (1, -1)
        )
        along = sum(jnp.vdot(g, d) for g, d in zip(jax.tree.leaves(gradient), jax.tree.leaves(way), strict=True))
        assert float((ahead - behind) / (2 * step)) == pytest.approx(float(along), rel=0.01, abs=0.02)
